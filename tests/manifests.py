#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Kubernetes manifests, checked with no cluster and no network: manifests.py [--extract DIR] FOLDER

Types, required and unknown keys are those of the API's own types, as Debian's python3-kubernetes has them. On top of that, what
an API server would refuse or a node could not start, because two things in the files do not fit together: volumes and their
mounts, config maps, selectors and labels, namespaces, names. A kustomization's patches are merged and the result is checked too.

--extract writes each config map's svad.conf to DIR, for svadctl config check. --self-test checks that this program sees what is
wrong: it makes one mistake after the other in copies of the folder.

Exit status: 0; 1 with one line on stdout for each thing that is wrong; 77 when python3-kubernetes is not installed.
"""
import copy
import os
import re
import shutil
import sys
import tempfile

try:
    import yaml
    from kubernetes.client import models
except ImportError:
    print("python3-kubernetes is not installed")
    sys.exit(77)

KINDS = {
    ("v1", "Namespace"): "V1Namespace",
    ("v1", "ConfigMap"): "V1ConfigMap",
    ("v1", "Pod"): "V1Pod",
    ("apps/v1", "DaemonSet"): "V1DaemonSet",
}
PRIMITIVES = {"str": str, "int": int, "bool": bool, "float": (int, float)}
CAPABILITIES = set(
    "ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID"
    " IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW"
    " PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO"
    " SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM".split()
)
# Values that the API's documentation names, and its Python types do not.
ENUMS = {
    ("V1HostPathVolumeSource", "type"): [
        "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"
    ],
    ("V1VolumeMount", "mountPropagation"): ["None", "HostToContainer", "Bidirectional"],
    ("V1SeccompProfile", "type"): ["RuntimeDefault", "Unconfined", "Localhost"],
    ("V1Container", "imagePullPolicy"): ["Always", "IfNotPresent", "Never"],
    ("V1PodSpec", "restartPolicy"): ["Always", "OnFailure", "Never"],
    ("V1PodSpec", "dnsPolicy"): ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
    ("V1DaemonSetUpdateStrategy", "type"): ["RollingUpdate", "OnDelete"],
    ("V1Toleration", "operator"): ["Exists", "Equal"],
    ("V1Toleration", "effect"): ["NoSchedule", "PreferNoSchedule", "NoExecute"],
}
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
LABEL_NAME = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

problems = []


def wrong(where, what):
    problems.append(f"{where}: {what}")


# ---- the API's types ----------------------------------------------------------------------------


def check_type(value, name, where):
    """Checks a value against a type as the models name it: str, list[X], dict(str, X), object, or a model."""
    if name == "object":  # int or string (IntOrString) in what we use
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            wrong(where, f"must be a number or a string, is {value!r}")
        return
    if name in PRIMITIVES:
        if not isinstance(value, PRIMITIVES[name]) or (name != "bool" and isinstance(value, bool)):
            wrong(where, f"must be of type {name}, is {value!r}")
        return
    m = re.fullmatch(r"list\[(.*)\]", name)
    if m:
        if not isinstance(value, list):
            wrong(where, f"must be a list, is {value!r}")
            return
        for i, item in enumerate(value):
            label = item.get("name", i) if isinstance(item, dict) else i
            check_type(item, m.group(1), f"{where}[{label}]")
        return
    m = re.fullmatch(r"dict\(str, (.*)\)", name)
    if m:
        if not isinstance(value, dict):
            wrong(where, f"must be a map, is {value!r}")
            return
        for key, item in value.items():
            if not isinstance(key, str):
                wrong(where, f"the key {key!r} must be a string: quote it")
            check_type(item, m.group(1), f"{where}.{key}")
        return
    check_model(value, name, where)


def check_model(value, name, where):
    model = getattr(models, name)
    if not isinstance(value, dict):
        wrong(where, f"must be a map ({name}), is {value!r}")
        return
    attribute = {json: py for py, json in model.attribute_map.items()}
    arguments = {}
    for key, item in value.items():
        if key not in attribute:
            wrong(where, f"unknown key {key!r} ({name} has {', '.join(sorted(attribute))})")
            continue
        if item is None:
            wrong(f"{where}.{key}", "has no value")
            continue
        allowed = ENUMS.get((name, key))
        if allowed is not None and item not in allowed:
            wrong(f"{where}.{key}", f"must be one of {', '.join(map(repr, allowed))}, is {item!r}")
        check_type(item, model.openapi_types[attribute[key]], f"{where}.{key}")
        arguments[attribute[key]] = item
    try:
        model(**arguments)  # required ones, as the API's description says
    except (ValueError, TypeError) as e:
        wrong(where, f"{e}".replace("`", "'"))


# ---- what must fit together ---------------------------------------------------------------------


def check_names(doc, where):
    metadata = doc.get("metadata", {})
    name = metadata.get("name", "")
    pattern = DNS_LABEL if doc["kind"] == "Namespace" else DNS_NAME
    if not pattern.fullmatch(name):
        wrong(where, f"metadata.name {name!r} is not a name")
    if doc["kind"] != "Namespace" and not metadata.get("namespace"):
        wrong(where, "says no namespace: it would land in whichever is current")


def check_labels(labels, where):
    for key, value in (labels or {}).items():
        if not LABEL_NAME.fullmatch(str(key)):
            wrong(where, f"{key!r} is no label name")
        if isinstance(value, str) and not LABEL_VALUE.fullmatch(value):
            wrong(where, f"{value!r} is no label value")


def check_container(container, pod, volumes, namespace, config_maps, where):
    mounted = set()
    security = container.get("securityContext") or {}
    for mount in container.get("volumeMounts") or []:
        if mount.get("name") not in volumes:
            wrong(where, f"mounts the volume {mount.get('name')!r}, which the pod does not have")
        path = str(mount.get("mountPath"))
        if not path.startswith("/") or ":" in path:
            wrong(where, f"mountPath {path!r} must be absolute and have no ':'")
        if path in mounted:
            wrong(where, f"mounts two volumes at {path}")
        mounted.add(path)
        if mount.get("mountPropagation") == "Bidirectional" and not security.get("privileged"):
            wrong(where, "Bidirectional propagation needs a privileged container")
    for env in container.get("env") or []:
        source = env.get("valueFrom") or {}
        if ("value" in env) == bool(source):
            wrong(where, f"env {env.get('name')!r} must have a value or a valueFrom")
        ref = source.get("configMapKeyRef")
        if ref and ref.get("key") not in config_maps.get((namespace, ref.get("name")), {}):
            wrong(where, f"env {env.get('name')!r} comes from a config map or a key that is not there")
    for ref in [e["configMapRef"] for e in container.get("envFrom") or [] if "configMapRef" in e]:
        if (namespace, ref.get("name")) not in config_maps:
            wrong(where, f"its environment comes from the config map {ref.get('name')!r}, which is not there")
    for kind in ("add", "drop"):
        for capability in (security.get("capabilities") or {}).get(kind) or []:
            if capability not in CAPABILITIES:
                wrong(where, f"there is no capability {capability!r} (the API takes them without CAP_)")
    if security.get("privileged") and security.get("allowPrivilegeEscalation") is False:
        wrong(where, "privileged cannot be with allowPrivilegeEscalation: false")
    if "allowPrivilegeEscalation" not in security:
        wrong(where, "does not say allowPrivilegeEscalation")
    for kind, amounts in (container.get("resources") or {}).items():
        for what, amount in amounts.items() if isinstance(amounts, dict) else []:
            if not QUANTITY.fullmatch(str(amount)):
                wrong(where, f"resources.{kind}.{what} {amount!r} is no quantity")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        p = container.get(probe)
        if p is not None and sum(k in p for k in ("exec", "httpGet", "tcpSocket", "grpc")) != 1:
            wrong(f"{where}.{probe}", "must have exactly one handler")
    if not container.get("image"):
        wrong(where, "has no image")
    for port in container.get("ports") or []:
        if pod.get("hostNetwork") and port.get("hostPort", port.get("containerPort")) != port.get("containerPort"):
            wrong(where, "a hostPort must be the containerPort in the host's network")


def check_pod(pod, metadata, namespace, config_maps, where):
    volumes = {}
    names = set()
    used = set()
    for volume in pod.get("volumes") or []:
        name = volume.get("name")
        if name in volumes:
            wrong(where, f"has two volumes named {name!r}")
        if not DNS_LABEL.fullmatch(str(name)):
            wrong(where, f"{name!r} is no name of a volume")
        volumes[name] = volume
        if len(volume) != 2:
            wrong(where, f"the volume {name!r} must have exactly one source")
        source = volume.get("configMap")
        if source is not None:
            data = config_maps.get((namespace, source.get("name")))
            if data is None:
                wrong(where, f"the volume {name!r} is of the config map {source.get('name')!r}, which is not in {namespace}")
            for item in source.get("items") or []:
                if data is not None and item.get("key") not in data:
                    wrong(where, f"the config map {source.get('name')!r} has no {item.get('key')!r}")
        if "hostPath" in volume and not str(volume["hostPath"].get("path", "")).startswith("/"):
            wrong(where, f"the hostPath of {name!r} must be absolute")
    for kind in ("initContainers", "containers"):
        for container in pod.get(kind) or []:
            name = container.get("name")
            if name in names:
                wrong(where, f"has two containers named {name!r}")
            if not DNS_LABEL.fullmatch(str(name)):
                wrong(where, f"{name!r} is no name of a container")
            names.add(name)
            used |= {m.get("name") for m in container.get("volumeMounts") or []}
            check_container(container, pod, volumes, namespace, config_maps, f"{where}.{kind}[{name}]")
    for name in set(volumes) - used:
        wrong(where, f"nothing mounts the volume {name!r}")
    for key in metadata.get("annotations") or {}:
        prefix = "container.apparmor.security.beta.kubernetes.io/"
        if key.startswith(prefix) and key[len(prefix) :] not in names:
            wrong(where, f"the annotation {key} is of no container of this pod")
    if pod.get("automountServiceAccountToken") is not False:
        wrong(where, "would get a token of the API server, which nothing here needs")
    for toleration in pod.get("tolerations") or []:
        if toleration.get("operator") == "Exists" and "value" in toleration:
            wrong(where, "a toleration with operator Exists has no value")


def check_docs(docs, namespaces_here):
    seen = {}
    config_maps = {}
    namespaces = {"default", "kube-system"} | namespaces_here
    for where, doc in docs:
        if doc.get("kind") == "ConfigMap":
            metadata = doc.get("metadata", {})
            config_maps[(metadata.get("namespace"), metadata.get("name"))] = doc.get("data") or {}
    for where, doc in docs:
        kind = (doc.get("apiVersion"), doc.get("kind"))
        if kind not in KINDS:
            wrong(where, f"apiVersion {kind[0]!r}, kind {kind[1]!r}: none of those that this checks")
            continue
        metadata = doc.get("metadata") or {}
        where = f"{where}: {doc['kind']} {metadata.get('name')}"
        check_model(doc, KINDS[kind], where)
        check_names(doc, where)
        check_labels(metadata.get("labels"), where)
        key = (doc["kind"], metadata.get("namespace"), metadata.get("name"))
        if key in seen:
            wrong(where, f"is in {seen[key]} too")
        seen[key] = where
        namespace = metadata.get("namespace")
        if namespace and namespace not in namespaces:
            wrong(where, f"there is no namespace {namespace!r}")
        if doc["kind"] == "Pod":
            check_pod(doc.get("spec") or {}, metadata, namespace, config_maps, f"{where}.spec")
        if doc["kind"] == "DaemonSet":
            spec = doc.get("spec") or {}
            template = spec.get("template") or {}
            labels = (template.get("metadata") or {}).get("labels") or {}
            selector = (spec.get("selector") or {}).get("matchLabels") or {}
            check_labels(labels, f"{where}.spec.template")
            if not selector:
                wrong(where, "selects nothing")
            for key, value in selector.items():
                if labels.get(key) != value:
                    wrong(where, f"its selector wants {key}={value}, its pods have {labels.get(key)!r}")
            pod = template.get("spec") or {}
            if pod.get("restartPolicy", "Always") != "Always":
                wrong(where, "a DaemonSet's pods are always restarted")
            check_pod(pod, template.get("metadata") or {}, namespace, config_maps, f"{where}.spec.template.spec")


# ---- files, kustomizations ----------------------------------------------------------------------


class Loader(yaml.SafeLoader):
    """YAML with a key that stands there twice is refused, not merged."""


def no_duplicates(loader, node, deep=False):
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands there twice", node.start_mark)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, no_duplicates)


def load(path):
    try:
        with open(path, encoding="utf-8") as f:
            docs = list(yaml.load_all(f, Loader))
    except (OSError, yaml.YAMLError) as e:
        wrong(path, str(e).replace("\n", " "))
        return []
    for doc in docs:
        if not isinstance(doc, dict):
            wrong(path, f"has a document that is no object: {doc!r}")
    return [(os.path.basename(path), doc) for doc in docs if isinstance(doc, dict)]


def merged(base, patch):
    """A strategic merge, as far as it is used: maps by key, lists of named things by name, other lists replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        out = dict(base)
        for key, value in patch.items():
            out[key] = merged(base[key], value) if key in base else value
        return out
    if isinstance(base, list) and isinstance(patch, list) and all(isinstance(x, dict) and "name" in x for x in base + patch):
        out = list(base)
        for value in patch:
            at = [i for i, x in enumerate(out) if x["name"] == value["name"]]
            if at:
                out[at[0]] = merged(out[at[0]], value)
            else:
                out.append(value)
        return out
    return patch


def key_of(doc):
    metadata = doc.get("metadata") or {}
    return doc.get("apiVersion"), doc.get("kind"), metadata.get("namespace"), metadata.get("name")


def kustomized(folder):
    path = os.path.join(folder, "kustomization.yaml")
    docs = load(path)
    if len(docs) != 1:
        wrong(path, "must be one document")
        return []
    known = {"apiVersion", "kind", "resources", "patches"}
    this = docs[0][1]
    for key in set(this) - known:
        wrong(path, f"unknown key {key!r} (this checks {', '.join(sorted(known))})")
    if (this.get("apiVersion"), this.get("kind")) != ("kustomize.config.k8s.io/v1beta1", "Kustomization"):
        wrong(path, "is no Kustomization")
    result = []
    for resource in this.get("resources") or []:
        at = os.path.normpath(os.path.join(folder, resource))
        result += copy.deepcopy(kustomized(at) if os.path.isdir(at) else load(at))
    for patch in this.get("patches") or []:
        if set(patch) != {"path"}:
            wrong(path, f"a patch must be a path, is {patch!r}")
            continue
        for where, doc in load(os.path.join(folder, patch["path"])):
            hits = [i for i, (_, d) in enumerate(result) if key_of(d) == key_of(doc)]
            if len(hits) != 1:
                name = (doc.get("metadata") or {}).get("name")
                wrong(f"{path}: {patch['path']}", f"patches {doc.get('kind')} {name}, which is not there")
                continue
            result[hits[0]] = (f"{patch['path']} on {result[hits[0]][0]}", merged(result[hits[0]][1], doc))
    return result


def extract(docs, folder, prefix):
    for _, doc in docs:
        if doc.get("kind") == "ConfigMap" and "svad.conf" in (doc.get("data") or {}):
            with open(os.path.join(folder, f"{prefix}-{doc['metadata']['name']}.conf"), "w", encoding="utf-8") as f:
                f.write(doc["data"]["svad.conf"])


def check_folder(folder, out=None):
    problems.clear()
    plain = sorted(f for f in os.listdir(folder) if f.endswith(".yaml") and f != "kustomization.yaml")
    docs = [d for f in plain for d in load(os.path.join(folder, f))]
    if not docs:
        wrong(folder, "has no manifest")
    check_docs(docs, {d["metadata"]["name"] for _, d in docs if d.get("kind") == "Namespace"})
    sets = [("base", kustomized(folder))] if os.path.exists(os.path.join(folder, "kustomization.yaml")) else []
    for name in sorted(os.listdir(folder)):
        at = os.path.join(folder, name)
        if os.path.isdir(at):
            sets.append((name, kustomized(at)))
    if out:
        extract(docs, out, "plain")
    for name, set_docs in sets:
        check_docs(set_docs, {d["metadata"]["name"] for _, d in set_docs if d.get("kind") == "Namespace"})
        if out:
            extract(set_docs, out, name)
    return len(docs), len(sets), list(dict.fromkeys(problems))


# file, what stands there, what stands there instead, what must be said of it
MISTAKES = [
    ("svad.yaml", "hostPID:", "hostPid:", "unknown key 'hostPid'"),
    ("svad.yaml", "hostNetwork: true", "hostNetwork: 'true'", "must be of type bool"),
    ("svad.yaml", "terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 30s", "must be of type int"),
    ("svad.yaml", "kind: DaemonSet", "kind: DeamonSet", "none of those"),
    ("svad.yaml", "apiVersion: apps/v1", "apiVersion: extensions/v1beta1", "none of those"),
    ("svad.yaml", "  selector:\n    matchLabels:\n      app.kubernetes.io/name: svad\n", "", "selector"),
    (
        "svad.yaml",
        "      app.kubernetes.io/name: svad\n  updateStrategy",
        "      app.kubernetes.io/name: svod\n  updateStrategy",
        "its selector wants",
    ),
    (
        "svad.yaml",
        "          configMap:\n            name: svad",
        "          configMap:\n            name: svad-config",
        "is of the config map",
    ),
    ("svad.yaml", "            - name: netns\n", "            - name: namespaces\n", "which the pod does not have"),
    ("svad.yaml", "mountPath: /run/netns", "mountPath: /run/svad", "mounts two volumes"),
    ("svad.yaml", "type: DirectoryOrCreate", "type: DirectoryOrCreated", "must be one of"),
    ("svad.yaml", "mountPropagation: HostToContainer", "mountPropagation: Bidirectional", "privileged"),
    ("svad.yaml", "SYS_PTRACE]", "CAP_SYS_PTRACE]", "no capability"),
    ("svad.yaml", "  namespace: svad-system\ndata", "  namespace: svad-sys\ndata", "there is no namespace"),
    ("svad.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "token"),
    ("svad.yaml", "memory: 1Gi", "memory: 1GB", "no quantity"),
    ("svad.yaml", "beta.kubernetes.io/svad: unconfined", "beta.kubernetes.io/svd: unconfined", "of no container"),
    (
        "svad.yaml",
        "              command: [/usr/bin/svadctl, status]\n            periodSeconds: 2",
        "              command: /usr/bin/svadctl\n            periodSeconds: 2",
        "must be a list",
    ),
    ("svad.yaml", "          image: svad:latest\n", "", "image"),
    (
        "svad.yaml",
        "            allowPrivilegeEscalation: false\n",
        "            allowPrivilegeEscalation: false\n            allowPrivilegeEscalation: false\n",
        "twice",
    ),
    ("pod.yaml", "  namespace: default\n", "", "says no namespace"),
    (
        "pod.yaml",
        "      volumeMounts:\n        - name: svad\n          mountPath: /run/svad\n          readOnly: true\n",
        "",
        "nothing mounts",
    ),
    ("pod.yaml", "restartPolicy: Never", "restartPolicy: No", "must be of type str"),
    ("uninstall.yaml", "name: svad-uninstall\n  namespace", "name: Svad_Uninstall\n  namespace", "is not a name"),
    ("kmod/daemonset.yaml", "  name: svad\n", "  name: svad-node\n", "which is not there"),
    ("kmod/daemonset.yaml", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation: false", "privileged cannot be"),
    ("kmod/kustomization.yaml", "patches:", "patchs:", "unknown key 'patchs'"),
    ("kmod/kustomization.yaml", "daemonset.yaml", "daemonsets.yaml", "No such file"),
]


def self_test(folder):
    missed = 0
    for name, there, instead, said in MISTAKES:
        with tempfile.TemporaryDirectory() as work:
            copied = os.path.join(work, "kubernetes")
            shutil.copytree(folder, copied)
            at = os.path.join(copied, name)
            os.chmod(os.path.dirname(at), 0o755)
            os.chmod(at, 0o644)
            with open(at, encoding="utf-8") as f:
                text = f.read()
            if there not in text:
                print(f"{name} has no {there!r} any more: change MISTAKES")
                missed += 1
                continue
            with open(at, "w", encoding="utf-8") as f:
                f.write(text.replace(there, instead, 1))
            found = check_folder(copied)[2]
            if not any(said in problem for problem in found):
                print(f"{name}: {instead!r} in place of {there!r} is not seen as {said!r}: {found}")
                missed += 1
    if not missed:
        print(f"{len(MISTAKES)} mistakes are seen")
    return 1 if missed else 0


def main(args):
    out = None
    if args[:1] == ["--self-test"] and len(args) == 2:
        return self_test(args[1])
    if args[:1] == ["--extract"] and len(args) == 3:
        out, args = args[1], args[2:]
    if len(args) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    objects, sets, found = check_folder(args[0], out)
    for problem in found:
        print(problem)
    if not found:
        print(f"{objects} objects and {sets} kustomizations are right")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

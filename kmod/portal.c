// SPDX-License-Identifier: GPL-2.0-only
/*
 * Portals: the page or pages through which a bond submits work, mapped from its fd.
 *
 * Mapped page by page on first touch, so that one test says whether there is a portal. Taking it
 * away is: refuse from now on, then zap what is mapped; the two are ordered by portal_lock, so no
 * page can come back. All fds of a bond share one mapping, which is nobody else's: the bond has an
 * inode of its own.
 *
 * Locks: mmap_lock -> svab_bond.portal_lock. Revocation takes portal_lock, and after it the
 * mapping's i_mmap_rwsem; no mmap_lock, which a process could hold for as long as it likes.
 */
#include <linux/mm.h>

#include "svabroker_private.h"

static vm_fault_t svab_portal_fault(struct vm_fault *vmf)
{
	struct svab_ref *ref = vmf->vma->vm_private_data;
	struct svab_bond *bond = ref->bond;
	vm_fault_t r = VM_FAULT_SIGBUS;

	mutex_lock(&bond->portal_lock);
	if (!bond->revoked && vmf->pgoff < bond->portal.size >> PAGE_SHIFT)
		r = vmf_insert_pfn(vmf->vma, vmf->address,
				   PHYS_PFN(bond->portal.base) + vmf->pgoff);
	mutex_unlock(&bond->portal_lock);
	return r;
}

static const struct vm_operations_struct svab_portal_ops = {
	.fault = svab_portal_fault,
};

/**
 * svab_portal_mmap() - mmap() of a bond fd
 * @file: the bond fd
 * @vma: what is to be mapped
 *
 * Return: 0 or -errno; -EPERM from any address space but the bond's.
 */
int svab_portal_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct svab_ref *ref = file->private_data;
	struct svab_bond *bond = ref->bond;
	unsigned long pages = bond->portal.size >> PAGE_SHIFT;

	if (vma->vm_mm != bond->mm && !svab_mutated(SVAB_MUT_ANY_MM))
		return -EPERM;
	if (!pages)
		return -ENXIO;
	if (vma->vm_pgoff >= pages || vma_pages(vma) > pages - vma->vm_pgoff)
		return -EINVAL;
	/* A private one would be copied on write. */
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	if (READ_ONCE(bond->revoked) || READ_ONCE(ref->dropped))
		return -ESHUTDOWN;
	vm_flags_clear(vma, VM_MAYEXEC);
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTCOPY | VM_DONTDUMP);
	if (bond->portal.write_combine)
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	else
		vma->vm_page_prot = pgprot_device(vma->vm_page_prot);
	vma->vm_private_data = ref;
	vma->vm_ops = &svab_portal_ops;
	return 0;
}

/**
 * svab_portal_revoke() - take the portal of a bond away
 * @bond: whose
 *
 * When it returns no process has a page of it, or gets one: the next access is SIGBUS. May be
 * called again.
 */
void svab_portal_revoke(struct svab_bond *bond)
{
	mutex_lock(&bond->portal_lock);
	bond->revoked = !svab_mutated(SVAB_MUT_REFAULT);
	mutex_unlock(&bond->portal_lock);
	if (!svab_mutated(SVAB_MUT_NO_ZAP))
		unmap_mapping_range(bond->inode->i_mapping, 0, 0, 1);
	/* Who sees POLLHUP finds no portal any more. */
	WRITE_ONCE(bond->portal_gone, true);
	wake_up_all(&bond->polled);
}

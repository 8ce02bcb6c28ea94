// SPDX-License-Identifier: GPL-2.0
/*
 * vm_operations_struct of the module's own file system, and faults of calls through them.
 *
 * PATH is a file that the calling process has mapped; the fault is made by hand and no page table is touched. The page of a
 * fault is in no page cache.
 */
#include <linux/delay.h>

#include "own.h"

#define TABLE "vm_operations_struct"

static struct folio *folio_to_give;

static void own_vm_open(struct vm_area_struct *area)
{
	own_callback(__func__);
}

static void own_vm_close(struct vm_area_struct *area)
{
	own_callback(__func__);
}

/* Locks the page and says so, as far as it behaves. */
static vm_fault_t lock_and_say_so(struct folio *folio, enum misdeed misdeed)
{
	if (misdeed != NO_LOCK)
		folio_trylock(folio);
	return VM_FAULT_LOCKED;
}

static vm_fault_t own_fault(struct vm_fault *vmf)
{
	enum misdeed misdeed = own_callback(__func__);
	struct file *file = vmf->vma->vm_file;
	struct address_space *mapping = file->f_mapping;

	if (!own_is_called())
		return VM_FAULT_SIGBUS;
	if (misdeed == LOADS) {
		folio_lock(folio_to_give);
		mapping->a_ops->read_folio(file, folio_to_give);
	}
	if (misdeed == TRUNCATED)
		folio_to_give->mapping = NULL;
	vmf->page = &folio_to_give->page;
	return lock_and_say_so(folio_to_give, misdeed);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
static vm_fault_t own_huge_fault(struct vm_fault *vmf, unsigned int order)
#else
static vm_fault_t own_huge_fault(struct vm_fault *vmf, enum page_entry_size size)
#endif
{
	if (own_callback(__func__) == CALLED)
		return filemap_fault(vmf);
	return VM_FAULT_FALLBACK;
}

static vm_fault_t own_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	enum misdeed misdeed = own_misdeed(__func__);

	if (misdeed == SLEEP) {
		/* The kernel itself warns of a task that sleeps in RCU; what is judged is that it sleeps at all. */
		rcu_read_unlock();
		own_sleep();
		rcu_read_lock();
	}
	return misdeed == NOT_CALLED ? VM_FAULT_NOPAGE : 0;
}

static vm_fault_t own_page_mkwrite(struct vm_fault *vmf)
{
	enum misdeed misdeed = own_callback(__func__);
	struct folio *folio;

	if (!own_is_called())
		return VM_FAULT_SIGBUS;
	folio = page_folio(vmf->page);
	if (misdeed == TRUNCATED || misdeed == WRONG_RESULT)
		folio->mapping = NULL;
	if (misdeed == WRONG_RESULT)
		return 0;
	/* Also "nothing to do", which is right for a page that is gone: its being locked is what is wrong. */
	return lock_and_say_so(folio, misdeed) | (misdeed == TRUNCATED ? VM_FAULT_NOPAGE : 0);
}

static vm_fault_t own_pfn_mkwrite(struct vm_fault *vmf)
{
	return own_callback(__func__) == WRONG_RESULT ? VM_FAULT_MAJOR : VM_FAULT_NOPAGE;
}

static int own_access(struct vm_area_struct *area, unsigned long address, void *buffer, int length, int write)
{
	own_callback(__func__);
	return -EACCES;
}

const struct vm_operations_struct own_vm_operations = {
	.open = own_vm_open,
	.close = own_vm_close,
	.fault = own_fault,
	.huge_fault = own_huge_fault,
	.map_pages = own_map_pages,
	.page_mkwrite = own_page_mkwrite,
	.pfn_mkwrite = own_pfn_mkwrite,
	.access = own_access,
};

/* The area in which the calling process has mapped the file; nobody else changes its areas. */
static struct vm_area_struct *area_of(const struct own *own)
{
	struct vm_area_struct *area;
	unsigned long address = 0;

	mmap_read_lock(current->mm);
	while ((area = find_vma(current->mm, address))) {
		if (area->vm_file && file_inode(area->vm_file) == own->inode)
			break;
		address = area->vm_end;
	}
	mmap_read_unlock(current->mm);
	return area;
}

/* As OWN_CALL, with the area and a fault in it at hand. */
#define OWN_VM_CALL(op, invoke)								\
static __always_inline int op##_with(const struct call *call, const struct locking *how) \
{											\
	struct own own;									\
	struct vm_area_struct *area;							\
	int error = own_open(&own, call, how, A_FOLIO);					\
											\
	if (error)									\
		return error;								\
	area = area_of(&own);								\
	error = area ? own_acquire(&own, how, MMAP_LOCK) : -EFAULT;			\
	if (!error) {									\
		struct vm_fault fault __maybe_unused = {				\
			.vma = area,							\
			.address = area->vm_start,					\
			.gfp_mask = GFP_KERNEL,						\
			.page = &own.folio->page,					\
		};									\
											\
		folio_to_give = own.folio;						\
		context_enter(how->context);						\
		error = (invoke);							\
		context_leave(how->context);						\
	}										\
	own_release(&own, MMAP_LOCK);							\
	return own_close(&own, error);							\
}

/* The caller unlocks the page: at once, or later than anybody waits for it. */
static int unlock_given(struct own *own, vm_fault_t result, const struct locking *how)
{
	if (how->misdeed == KEEP_LOCKED)
		return own_drop_folio_later(own);
	if (folio_test_locked(folio_to_give))
		folio_unlock(folio_to_give);
	/* Whatever it says, it has been called. */
	return 0;
}

static __always_inline int fault_holding(struct own *own, struct vm_fault *fault, const struct locking *how)
{
	int error = 0;

	if (how->misdeed == LOADS)
		filemap_invalidate_lock_shared(own->mapping);
	error = unlock_given(own, fault->vma->vm_ops->fault(fault), how);
	if (how->misdeed == LOADS)
		filemap_invalidate_unlock_shared(own->mapping);
	return error;
}

OWN_VM_CALL(vm_open, (area->vm_ops->open(area), 0))
OWN_VM_CALL(vm_close, (area->vm_ops->close(area), 0))
OWN_VM_CALL(fault, fault_holding(&own, &fault, how))
OWN_VM_CALL(huge_fault, (area->vm_ops->huge_fault(&fault, 0), 0))
OWN_VM_CALL(page_mkwrite, unlock_given(&own, area->vm_ops->page_mkwrite(&fault), how))
OWN_VM_CALL(pfn_mkwrite, unlock_given(&own, area->vm_ops->pfn_mkwrite(&fault), how))
OWN_VM_CALL(access, area->vm_ops->access(area, area->vm_start, NULL, 0, 0) == -EACCES ? 0 : -EIO)
OWN_VM_CALL(map_pages, (area->vm_ops->map_pages(&fault, 0, 0), 0))

#define OWN_VM_FAULTS(FAULT)								\
	FAULT(vm_open, vm_open_no_lock, "open", .mmap_lock = NOT_HELD)			\
	FAULT(vm_open, vm_open_shared, "open", .mmap_lock = SHARED)			\
	FAULT(vm_open, vm_open_held_by_other, "open", .mmap_lock = EXCLUSIVE_BY_OTHER)	\
	FAULT(vm_close, vm_close_no_lock, "close", .mmap_lock = NOT_HELD)		\
	FAULT(vm_close, vm_close_shared_by_other, "close", .mmap_lock = SHARED_BY_OTHER)	\
	FAULT(fault, fault_no_lock, "fault", .mmap_lock = NOT_HELD)			\
	FAULT(fault, fault_shared_by_other, "fault", .mmap_lock = SHARED_BY_OTHER)	\
	FAULT(fault, fault_says_locked, "fault.locked", .mmap_lock = SHARED, .misdeed = NO_LOCK) \
	FAULT(fault, fault_gives_truncated, "fault.not_truncated", .mmap_lock = SHARED, .misdeed = TRUNCATED) \
	FAULT(fault, fault_stays_locked, "fault.unlocked_by_caller", .mmap_lock = SHARED, .misdeed = KEEP_LOCKED) \
	FAULT(fault, fault_loads_unguarded, "fault.invalidate_lock", .mmap_lock = SHARED, .misdeed = LOADS) \
	FAULT(page_mkwrite, page_mkwrite_no_lock, "page_mkwrite", .mmap_lock = NOT_HELD)	\
	FAULT(page_mkwrite, page_mkwrite_says_locked, "page_mkwrite.locked", .mmap_lock = SHARED, .misdeed = NO_LOCK) \
	FAULT(page_mkwrite, page_mkwrite_gives_truncated, "page_mkwrite.not_truncated", .mmap_lock = SHARED, \
	      .misdeed = TRUNCATED)							\
	FAULT(page_mkwrite, page_mkwrite_goes_on, "page_mkwrite.retries", .mmap_lock = SHARED, .misdeed = WRONG_RESULT) \
	FAULT(pfn_mkwrite, pfn_mkwrite_no_lock, "pfn_mkwrite", .mmap_lock = NOT_HELD)	\
	FAULT(pfn_mkwrite, pfn_mkwrite_odd_result, "pfn_mkwrite.result", .mmap_lock = SHARED, .misdeed = WRONG_RESULT) \
	FAULT(access, access_no_lock, "access", .mmap_lock = NOT_HELD)			\
	FAULT(huge_fault, huge_fault_calls_filemap_fault, "huge_fault.no_filemap_fault", .mmap_lock = SHARED, \
	      .misdeed = CALLED)							\
	FAULT(map_pages, map_pages_no_lock, "map_pages", .mmap_lock = NOT_HELD, .context = IN_RCU) \
	FAULT(map_pages, map_pages_outside_rcu, "map_pages.rcu", .mmap_lock = SHARED)	\
	FAULT(map_pages, map_pages_sleeps, "map_pages.must_not_sleep", .mmap_lock = SHARED, .context = IN_RCU, \
	      .misdeed = SLEEP)								\
	FAULT(map_pages, map_pages_sets_nothing, "map_pages.sets_entries", .mmap_lock = SHARED, .context = IN_RCU, \
	      .misdeed = NOT_CALLED)

DEFINE_CORRECT(vm_open)
DEFINE_CORRECT(vm_close)
DEFINE_CORRECT(fault, .mmap_lock = SHARED)
DEFINE_CORRECT(page_mkwrite, .mmap_lock = SHARED)
DEFINE_CORRECT(pfn_mkwrite, .mmap_lock = SHARED)
DEFINE_CORRECT(access, .mmap_lock = SHARED)
DEFINE_CORRECT(huge_fault, .mmap_lock = SHARED)
DEFINE_CORRECT(map_pages, .mmap_lock = SHARED, .context = IN_RCU)
OWN_VM_FAULTS(DEFINE_FAULT)

const struct fault own_vm_faults[] = { OWN_VM_FAULTS(FAULT_ENTRY) {} };

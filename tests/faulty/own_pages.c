// SPDX-License-Identifier: GPL-2.0
/*
 * address_space_operations of the module's own file system, and faults of calls for one folio; own_writeback.c has those of
 * writing, own_readahead.c those of ranges.
 *
 * A call is made for a folio that knows its mapping, and that the mapping does not know: nobody else can find it. A callback
 * that has to unlock a folio locks it first where its caller did not, so that only the caller is at fault.
 */
#include <linux/delay.h>
#include <linux/migrate.h>
#include <linux/writeback.h>

#include "own.h"
#include "own_pages.h"

#define TABLE "address_space_operations"

static void unlock(struct folio *folio)
{
	folio_trylock(folio);
	folio_unlock(folio);
}

static int own_read_folio(struct file *file, struct folio *folio)
{
	enum misdeed misdeed = own_callback(__func__);

	if (!own_is_called())
		folio_zero_range(folio, 0, folio_size(folio));
	folio_mark_uptodate(folio);
	if (misdeed != KEEP_LOCKED)
		unlock(folio);
	return 0;
}

static bool own_dirty_folio(struct address_space *mapping, struct folio *folio)
{
	own_callback(__func__);
	return !folio_test_set_dirty(folio);
}

/* The one folio that write_begin gives and write_end takes. */
static struct folio *folio_to_write(struct address_space *mapping, enum misdeed misdeed)
{
	struct folio *folio = own_new_folio(mapping);

	if (folio && misdeed != UNLOCK)
		folio_trylock(folio);
	return folio;
}

static void end_write(struct folio *folio, enum misdeed misdeed)
{
	if (misdeed != KEEP_LOCKED)
		unlock(folio);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
static int own_write_begin(const struct kiocb *iocb, struct address_space *mapping, loff_t position, unsigned int length,
			   struct folio **folio, void **data)
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static int own_write_begin(struct file *file, struct address_space *mapping, loff_t position, unsigned int length,
			   struct folio **folio, void **data)
#else
static int own_write_begin(struct file *file, struct address_space *mapping, loff_t position, unsigned int length,
			   struct page **folio, void **data)
#endif
{
	struct folio *new = folio_to_write(mapping, own_callback(__func__));

	if (!new)
		return -ENOMEM;
	*folio = (void *)new;
	return 0;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
static int own_write_end(const struct kiocb *iocb, struct address_space *mapping, loff_t position, unsigned int length,
			 unsigned int copied, struct folio *folio, void *data)
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static int own_write_end(struct file *file, struct address_space *mapping, loff_t position, unsigned int length,
			 unsigned int copied, struct folio *folio, void *data)
#else
static int own_write_end(struct file *file, struct address_space *mapping, loff_t position, unsigned int length,
			 unsigned int copied, struct page *folio, void *data)
#endif
{
	end_write((struct folio *)folio, own_callback(__func__));
	return copied;
}

static sector_t own_bmap(struct address_space *mapping, sector_t block)
{
	own_callback(__func__);
	return 0;
}

static void own_invalidate_folio(struct folio *folio, size_t offset, size_t length)
{
	own_callback(__func__);
}

static bool own_release_folio(struct folio *folio, gfp_t gfp)
{
	enum misdeed misdeed = own_callback(__func__);

	if (misdeed != KEEP_PRIVATE && folio_test_private(folio))
		folio_detach_private(folio);
	return true;
}

static void own_free_folio(struct folio *folio)
{
	own_callback(__func__);
}

static ssize_t own_direct_IO(struct kiocb *iocb, struct iov_iter *iter)
{
	own_callback(__func__);
	return 0;
}

static int own_migrate_folio(struct address_space *mapping, struct folio *destination, struct folio *source,
			     enum migrate_mode mode)
{
	own_callback(__func__);
	return own_is_called() ? 0 : -EAGAIN;
}

static int own_launder_folio(struct folio *folio)
{
	enum misdeed misdeed = own_callback(__func__);

	if (misdeed != KEEP_DIRTY)
		__folio_clear_dirty(folio);
	if (misdeed == UNLOCK)
		folio_unlock(folio);
	return 0;
}

static bool own_is_partially_uptodate(struct folio *folio, size_t from, size_t count)
{
	own_callback(__func__);
	return false;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
static int own_error_remove_folio(struct address_space *mapping, struct folio *folio)
#else
static int own_error_remove_folio(struct address_space *mapping, struct page *folio)
#endif
{
	own_callback(__func__);
	return own_is_called() ? 0 : -EBUSY;
}

const struct address_space_operations own_address_space_operations = {
	.read_folio = own_read_folio,
	.dirty_folio = own_dirty_folio,
	.write_begin = own_write_begin,
	.write_end = own_write_end,
	.bmap = own_bmap,
	.invalidate_folio = own_invalidate_folio,
	.release_folio = own_release_folio,
	.free_folio = own_free_folio,
	.direct_IO = own_direct_IO,
	.migrate_folio = own_migrate_folio,
	.launder_folio = own_launder_folio,
	.is_partially_uptodate = own_is_partially_uptodate,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	.error_remove_folio = own_error_remove_folio,
#else
	.error_remove_page = own_error_remove_folio,
#endif
	.readahead = own_readahead,
	.writepages = own_writepages,
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
	.writepage = own_writepage,
#endif
	.swap_activate = own_swap_activate,
	.swap_deactivate = own_swap_deactivate,
};

#define AOPS(own) ((own).mapping->a_ops)

/* The page of a call, after it: unlocked by the callback, or later than anybody waits for it. */
static int unlock_late(struct own *own, const struct locking *how)
{
	return how->misdeed == KEEP_LOCKED ? own_drop_folio_later(own) : 0;
}

OWN_CALL(read_folio, INVALIDATE_LOCK | FOLIO_LOCK,
	 AOPS(own)->read_folio(own.file, own.folio) ?: unlock_late(&own, how))
OWN_CALL(dirty_folio, FOLIO_LOCK, AOPS(own)->dirty_folio(own.mapping, own.folio) ? 0 : -EIO)
OWN_CALL(write_begin, I_RWSEM, ({
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	struct folio *given = NULL;
#else
	struct page *given = NULL;
#endif
	void *data;
	int result = AOPS(own)->write_begin(NULL, own.mapping, 0, 1, &given, &data);

	own_drop_folio((struct folio *)given);
	result;
}))
OWN_CALL(write_end, I_RWSEM | FOLIO_LOCK,
	 AOPS(own)->write_end(NULL, own.mapping, 0, 1, 1, (void *)own.folio, NULL) == 1 ? 0 : -EIO)
OWN_CALL(bmap, 0, AOPS(own)->bmap(own.mapping, 0))
OWN_CALL(invalidate_folio, INVALIDATE_LOCK | FOLIO_LOCK, (AOPS(own)->invalidate_folio(own.folio, 0, PAGE_SIZE), 0))
OWN_CALL(release_folio, FOLIO_LOCK, ({
	bool is_released;

	folio_attach_private(own.folio, own.inode);
	if (how->misdeed == NO_WAIT)
		folio_start_writeback(own.folio);
	is_released = AOPS(own)->release_folio(own.folio, GFP_NOFS);
	if (how->misdeed == NO_WAIT)
		folio_end_writeback(own.folio);
	is_released ? 0 : -EIO;
}))
OWN_CALL(free_folio, FOLIO_LOCK, ({
	if (how->misdeed != STRAY)
		own.folio->mapping = NULL;
	AOPS(own)->free_folio(own.folio);
	0;
}))
OWN_CALL(direct_IO, 0, ({
	struct kiocb iocb = { .ki_filp = own.file };

	AOPS(own)->direct_IO(&iocb, NULL);
}))
OWN_CALL(migrate_folio, FOLIO_LOCK, ({
	struct folio *destination = own_new_folio(own.mapping);
	int result = -ENOMEM;

	if (destination) {
		if (how->destination != NOT_HELD)
			folio_lock(destination);
		result = AOPS(own)->migrate_folio(own.mapping, destination, own.folio, MIGRATE_SYNC);
	}
	own_drop_folio(destination);
	result;
}))
OWN_CALL(launder_folio, FOLIO_LOCK, ({
	folio_test_set_dirty(own.folio);
	AOPS(own)->launder_folio(own.folio);
}))
OWN_CALL(is_partially_uptodate, FOLIO_LOCK, AOPS(own)->is_partially_uptodate(own.folio, 0, 1))
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
OWN_CALL(error_remove_folio, FOLIO_LOCK, AOPS(own)->error_remove_folio(own.mapping, own.folio))
OWN_CALL_NOT_OFFERED(error_remove_page)
#else
OWN_CALL_NOT_OFFERED(error_remove_folio)
OWN_CALL(error_remove_page, FOLIO_LOCK, AOPS(own)->error_remove_page(own.mapping, &own.folio->page))
#endif

#define OWN_PAGE_FAULTS(FAULT)								\
	FAULT(read_folio, read_folio_unlocked, "read_folio.locked", .invalidate_lock = SHARED, .folio = NOT_HELD) \
	FAULT(read_folio, read_folio_no_invalidate_lock, "read_folio.invalidate_lock", .invalidate_lock = NOT_HELD) \
	FAULT(read_folio, read_folio_wrong_mapping, "read_folio.invalidate_lock", .invalidate_lock = OF_WRONG_INODE) \
	FAULT(read_folio, read_folio_shared_by_other, "read_folio.invalidate_lock", .invalidate_lock = SHARED_BY_OTHER) \
	FAULT(read_folio, read_folio_keeps_locked, "read_folio.unlocks", .invalidate_lock = SHARED, .misdeed = KEEP_LOCKED) \
	FAULT(read_folio, read_folio_preemption_off, "read_folio.may_block", .invalidate_lock = SHARED, \
	      .context = PREEMPTION_OFF)							\
	FAULT(dirty_folio, dirty_folio_unlocked, "dirty_folio", .folio = NOT_HELD)	\
	FAULT(dirty_folio, dirty_folio_sleeps, "dirty_folio.must_not_sleep", .misdeed = SLEEP) \
	FAULT(write_begin, write_begin_no_lock, "write_begin.i_rwsem", .self = NOT_HELD)	\
	FAULT(write_begin, write_begin_shared, "write_begin.i_rwsem", .self = SHARED)	\
	FAULT(write_begin, write_begin_gives_unlocked, "write_begin.locks", .misdeed = UNLOCK) \
	FAULT(write_begin, write_begin_in_rcu, "write_begin.may_block", .context = IN_RCU) \
	FAULT(write_end, write_end_no_lock, "write_end.i_rwsem", .self = NOT_HELD)	\
	FAULT(write_end, write_end_shared, "write_end.i_rwsem", .self = SHARED)		\
	FAULT(write_end, write_end_unlocked, "write_end.locked", .folio = NOT_HELD)	\
	FAULT(write_end, write_end_keeps_locked, "write_end.unlocks", .misdeed = KEEP_LOCKED) \
	FAULT(write_end, write_end_preemption_off, "write_end.may_block", .context = PREEMPTION_OFF) \
	FAULT(bmap, bmap_under_spinlock, "bmap.may_block", .context = UNDER_SPINLOCK)	\
	FAULT(invalidate_folio, invalidate_folio_unlocked, "invalidate_folio.locked", .folio = NOT_HELD) \
	FAULT(invalidate_folio, invalidate_folio_no_invalidate_lock, "invalidate_folio.invalidate_lock", \
	      .invalidate_lock = NOT_HELD)						\
	FAULT(invalidate_folio, invalidate_folio_shared, "invalidate_folio.invalidate_lock", .invalidate_lock = SHARED) \
	FAULT(invalidate_folio, invalidate_folio_held_by_other, "invalidate_folio.invalidate_lock", \
	      .invalidate_lock = EXCLUSIVE_BY_OTHER)					\
	FAULT(invalidate_folio, invalidate_folio_interrupts_off, "invalidate_folio.may_block", .context = INTERRUPTS_OFF) \
	FAULT(release_folio, release_folio_unlocked, "release_folio.locked", .folio = NOT_HELD) \
	FAULT(release_folio, release_folio_keeps_private, "release_folio.private_gone", .misdeed = KEEP_PRIVATE) \
	FAULT(release_folio, release_folio_under_writeback, "release_folio.not_under_writeback", .misdeed = NO_WAIT) \
	FAULT(release_folio, release_folio_preemption_off, "release_folio.may_block", .context = PREEMPTION_OFF) \
	FAULT(free_folio, free_folio_unlocked, "free_folio.locked", .folio = NOT_HELD)	\
	FAULT(free_folio, free_folio_not_removed, "free_folio.removed", .misdeed = STRAY)	\
	FAULT(free_folio, free_folio_sleeps, "free_folio.must_not_sleep", .misdeed = SLEEP) \
	FAULT(direct_IO, direct_io_in_rcu, "direct_IO.may_block", .context = IN_RCU)	\
	FAULT(migrate_folio, migrate_folio_source_unlocked, "migrate_folio", .folio = NOT_HELD) \
	FAULT(migrate_folio, migrate_folio_destination_unlocked, "migrate_folio.destination", .destination = NOT_HELD) \
	FAULT(launder_folio, launder_folio_unlocked, "launder_folio.locked", .folio = NOT_HELD) \
	FAULT(launder_folio, launder_folio_unlocks, "launder_folio.keeps_locked", .misdeed = UNLOCK) \
	FAULT(launder_folio, launder_folio_keeps_dirty, "launder_folio.cleans", .misdeed = KEEP_DIRTY) \
	FAULT(launder_folio, launder_folio_preemption_off, "launder_folio.may_block", .context = PREEMPTION_OFF) \
	FAULT(is_partially_uptodate, is_partially_uptodate_unlocked, "is_partially_uptodate.locked", .folio = NOT_HELD) \
	FAULT(is_partially_uptodate, is_partially_uptodate_in_rcu, "is_partially_uptodate.may_block", .context = IN_RCU) \
	FAULT(error_remove_folio, error_remove_folio_unlocked, "error_remove_folio.locked", .folio = NOT_HELD) \
	FAULT(error_remove_page, error_remove_page_unlocked, "error_remove_page.locked", .folio = NOT_HELD)

DEFINE_CORRECT(read_folio, .invalidate_lock = SHARED)
DEFINE_CORRECT(dirty_folio)
DEFINE_CORRECT(write_begin)
DEFINE_CORRECT(write_end)
DEFINE_CORRECT(bmap)
DEFINE_CORRECT(invalidate_folio)
DEFINE_CORRECT(release_folio)
DEFINE_CORRECT(free_folio)
DEFINE_CORRECT(direct_IO)
DEFINE_CORRECT(migrate_folio)
DEFINE_CORRECT(launder_folio)
DEFINE_CORRECT(is_partially_uptodate)
DEFINE_CORRECT(error_remove_folio)
DEFINE_CORRECT(error_remove_page)
OWN_PAGE_FAULTS(DEFINE_FAULT)

const struct fault own_page_faults[] = { OWN_PAGE_FAULTS(FAULT_ENTRY) {} };

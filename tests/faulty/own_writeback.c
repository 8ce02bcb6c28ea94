// SPDX-License-Identifier: GPL-2.0
/*
 * Faults of writing folios back: writepage (up to 6.15) and writepages.
 */
#include <linux/delay.h>

#include "own.h"
#include "own_pages.h"

#define TABLE "address_space_operations"

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
/* Starts I/O and says whether it is to end at once. */
static void start_and_unlock(struct folio *folio, enum misdeed misdeed)
{
	if (misdeed == UNLOCK_FIRST)
		folio_unlock(folio);
	folio_start_writeback(folio);
	if (misdeed != UNLOCK_FIRST)
		folio_unlock(folio);
	if (misdeed != NO_END)
		folio_end_writeback(folio);
}

int own_writepage(struct page *page, struct writeback_control *control)
{
	struct folio *folio = page_folio(page);
	enum misdeed misdeed = own_callback(__func__);

	folio_trylock(folio);
	switch (misdeed) {
	case KEEP_LOCKED:
		folio_redirty_for_writepage(control, folio);
		return 0;
	case WRONG_RESULT:
		folio_redirty_for_writepage(control, folio);
		folio_unlock(folio);
		return -EIO;
	case NO_IO:
		folio_unlock(folio);
		return 0;
	case NO_WAIT:
		/* Ended, not waited for. */
		folio_end_writeback(folio);
		break;
	default:
		folio_wait_writeback(folio);
		break;
	}
	start_and_unlock(folio, misdeed);
	return 0;
}

/* What the callback has left undone. */
static void finish_write(struct folio *folio)
{
	if (!folio_test_writeback(folio))
		return;
	msleep(PUT_OFF_MS);
	folio_end_writeback(folio);
}

static __always_inline int writepage_as(struct own *own, const struct locking *how, enum writeback_sync_modes mode)
{
	struct writeback_control control = { .sync_mode = mode, .nr_to_write = 1 };
	int result;

	if (how->misdeed == NO_WAIT)
		folio_start_writeback(own->folio);
	result = own->mapping->a_ops->writepage(&own->folio->page, &control);
	finish_write(own->folio);
	return result == -EIO && how->misdeed == WRONG_RESULT ? 0 : result;
}

OWN_CALL(writepage, FOLIO_LOCK, writepage_as(&own, how, WB_SYNC_NONE))
OWN_CALL(writepage_for_sync, FOLIO_LOCK, writepage_as(&own, how, WB_SYNC_ALL))
#else
OWN_CALL_NOT_OFFERED(writepage)
OWN_CALL_NOT_OFFERED(writepage_for_sync)
#endif

/* The folio that a call of writepages is about; nobody else's call finds one. */
static struct folio *folio_to_write;

int own_writepages(struct address_space *mapping, struct writeback_control *control)
{
	enum misdeed misdeed = own_callback(__func__);

	if (!own_is_called())
		return 0;
	folio_start_writeback(folio_to_write);
	folio_end_writeback(folio_to_write);
	if (misdeed != NOT_COUNTED)
		control->nr_to_write--;
	return 0;
}

OWN_CALL(writepages, FOLIO_LOCK, ({
	struct writeback_control control = { .sync_mode = WB_SYNC_NONE, .nr_to_write = 8 };

	if (how->misdeed == STRAY)
		own.folio->mapping = d_inode(own.sb->s_root)->i_mapping;
	folio_to_write = own.folio;
	own.mapping->a_ops->writepages(own.mapping, &control);
}))

#define OWN_WRITEBACK_FAULTS(FAULT)							\
	FAULT(writepage, writepage_unlocked, "writepage.locked", .folio = NOT_HELD)	\
	FAULT(writepage, writepage_keeps_locked, "writepage.unlocks", .misdeed = KEEP_LOCKED) \
	FAULT(writepage, writepage_no_writeback, "writepage.writeback", .misdeed = NO_IO)	\
	FAULT(writepage, writepage_unlocks_first, "writepage.writeback_then_unlock", .misdeed = UNLOCK_FIRST) \
	FAULT(writepage, writepage_never_ends, "writepage.ends_writeback", .misdeed = NO_END) \
	FAULT(writepage, writepage_redirties_and_fails, "writepage.redirtied", .misdeed = WRONG_RESULT) \
	FAULT(writepage_for_sync, writepage_no_io, "writepage.sync_starts_io", .misdeed = NO_IO) \
	FAULT(writepage_for_sync, writepage_does_not_wait, "writepage.sync_waits", .misdeed = NO_WAIT) \
	FAULT(writepage, writepage_preemption_off, "writepage.may_block", .context = PREEMPTION_OFF) \
	FAULT(writepages, writepages_not_counted, "writepages.counts_down", .misdeed = NOT_COUNTED) \
	FAULT(writepages, writepages_stray, "writepages.own_pages", .misdeed = STRAY)	\
	FAULT(writepages, writepages_preemption_off, "writepages.may_block", .context = PREEMPTION_OFF)

DEFINE_CORRECT(writepage)
DEFINE_CORRECT(writepage_for_sync)
DEFINE_CORRECT(writepages)
OWN_WRITEBACK_FAULTS(DEFINE_FAULT)

const struct fault own_writeback_faults[] = { OWN_WRITEBACK_FAULTS(FAULT_ENTRY) {} };

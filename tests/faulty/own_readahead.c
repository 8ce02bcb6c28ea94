// SPDX-License-Identifier: GPL-2.0
/*
 * Faults of readahead, whose folios must be in the page cache, and of swap files.
 */
#include <linux/delay.h>
#include <linux/slab.h>

#include "own.h"
#include "own_pages.h"

#define TABLE "address_space_operations"

void own_readahead(struct readahead_control *window)
{
	enum misdeed misdeed = own_callback(__func__);
	struct folio *folio;

	while ((folio = readahead_folio(window))) {
		folio_mark_uptodate(folio);
		if (misdeed == KEEP_LOCKED)
			continue;
		folio_trylock(folio);
		folio_unlock(folio);
	}
}

/* One locked folio of the file's first page, with a reference for the page cache and one for the call. */
static int fill_cache(struct own *own)
{
	struct folio *folio = folio_alloc(GFP_KERNEL, 0);
	int error = folio ? filemap_add_folio(own->mapping, folio, 0, GFP_KERNEL) : -ENOMEM;

	if (error)
		own_drop_folio(folio);
	else
		own->folio = folio;
	return error;
}

static void empty_cache(struct own *own)
{
	struct folio *folio = own->folio;

	own->folio = NULL;
	folio_put(folio);
	truncate_inode_pages(own->mapping, 0);
}

static __always_inline int readahead_with(const struct call *call, const struct locking *how)
{
	struct own own;
	struct file_ra_state state = {};
	int error = own_open(&own, call, how, 0);

	if (error)
		return error;
	error = fill_cache(&own);
	if (!error) {
		DEFINE_READAHEAD(window, own.file, &state, own.mapping, 0);

		/* readahead_folio() drops the reference that page_cache_ra_unbounded() leaves to it. */
		folio_get(own.folio);
		window._nr_pages = 1;
		if (how->folio == NOT_HELD)
			folio_unlock(own.folio);
		error = own_acquire(&own, how, INVALIDATE_LOCK);
		if (!error) {
			context_enter(how->context);
			own.mapping->a_ops->readahead(&window);
			context_leave(how->context);
		}
		own_release(&own, INVALIDATE_LOCK);
		own_called();
		if (folio_test_locked(own.folio)) {
			msleep(PUT_OFF_MS);
			folio_unlock(own.folio);
		}
		filemap_invalidate_lock(own.mapping);
		empty_cache(&own);
		filemap_invalidate_unlock(own.mapping);
	}
	return own_close(&own, error);
}

int own_swap_activate(struct swap_info_struct *swap, struct file *file, sector_t *span)
{
	enum misdeed misdeed = own_callback(__func__);

	if (!own_is_called())
		return -EINVAL;
	*span = 1;
	return misdeed == NOT_CALLED ? 0 : add_swap_extent(swap, 0, 1, 0);
}

void own_swap_deactivate(struct file *file)
{
	own_callback(__func__);
}

static void free_extents(struct swap_info_struct *swap)
{
	struct rb_node *node;

	while ((node = rb_first(&swap->swap_extent_root))) {
		rb_erase(node, &swap->swap_extent_root);
		kfree(rb_entry(node, struct swap_extent, rb_node));
	}
}

OWN_CALL(swap_activate, 0, ({
	struct swap_info_struct *swap = kzalloc(sizeof(*swap), GFP_ATOMIC);
	sector_t span;
	int result = -ENOMEM;

	if (swap) {
		result = own.mapping->a_ops->swap_activate(swap, own.file, &span);
		free_extents(swap);
		kfree(swap);
	}
	result < 0 ? result : 0;
}))

#define OWN_READAHEAD_FAULTS(FAULT)							\
	FAULT(readahead, readahead_unlocked, "readahead.locked", .invalidate_lock = SHARED, .folio = NOT_HELD) \
	FAULT(readahead, readahead_no_invalidate_lock, "readahead.invalidate_lock", .invalidate_lock = NOT_HELD) \
	FAULT(readahead, readahead_keeps_locked, "readahead.unlocks", .invalidate_lock = SHARED, .misdeed = KEEP_LOCKED) \
	FAULT(readahead, readahead_preemption_off, "readahead.may_block", .invalidate_lock = SHARED, \
	      .context = PREEMPTION_OFF)							\
	FAULT(swap_activate, swap_activate_adds_nothing, "swap_activate.adds_extents", .misdeed = NOT_CALLED) \
	FAULT(swap_activate, swap_activate_preemption_off, "swap_activate.may_block", .misdeed = BEHAVE, \
	      .context = PREEMPTION_OFF)

DEFINE_CORRECT(readahead, .invalidate_lock = SHARED)
DEFINE_CORRECT(swap_activate)
OWN_READAHEAD_FAULTS(DEFINE_FAULT)

const struct fault own_readahead_faults[] = { OWN_READAHEAD_FAULTS(FAULT_ENTRY) {} };

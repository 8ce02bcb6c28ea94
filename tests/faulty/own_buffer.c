// SPDX-License-Identifier: GPL-2.0
/*
 * b_end_io of a buffer head (up to 6.18): the kernel's own end_buffer_read_sync(), called by this module from an interrupt.
 */
#include <linux/irq_work.h>

#include "own.h"

#define TABLE "buffer_head"

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
struct completion_of_io {
	struct irq_work work;
	struct buffer_head *bh;
};

static struct buffer_head *new_buffer(struct own *own)
{
	struct buffer_head *bh = alloc_buffer_head(GFP_KERNEL);

	if (!bh)
		return NULL;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
	folio_set_bh(bh, own->folio, 0);
#else
	set_bh_page(bh, &own->folio->page, 0);
#endif
	bh->b_size = PAGE_SIZE;
	bh->b_end_io = end_buffer_read_sync;
	get_bh(bh);
	return bh;
}

/* `interrupt` makes the call, or is NULL for one from the task itself. */
static __always_inline int end_io(const struct call *call, const struct locking *how,
				  void (*interrupt)(struct irq_work *work))
{
	struct completion_of_io completion = {};
	struct own own;
	int error = own_open(&own, call, how, A_FOLIO);

	if (error)
		return error;
	completion.bh = new_buffer(&own);
	if (completion.bh) {
		if (how->buffer != NOT_HELD)
			lock_buffer(completion.bh);
		if (interrupt) {
			init_irq_work(&completion.work, interrupt);
			irq_work_queue(&completion.work);
			irq_work_sync(&completion.work);
		} else {
			completion.bh->b_end_io(completion.bh, 1);
		}
		error = buffer_uptodate(completion.bh) ? 0 : -EIO;
		free_buffer_head(completion.bh);
	} else {
		error = -ENOMEM;
	}
	/* The callback is the kernel's, which is not counted as reached. */
	own_close(&own, error);
	return error;
}

#define DEFINE_INTERRUPT(name)								\
static noinline void vfs_faulty_##name##_in_interrupt(struct irq_work *work)		\
{											\
	struct buffer_head *bh = container_of(work, struct completion_of_io, work)->bh;	\
											\
	bh->b_end_io(bh, 1);								\
}

DEFINE_INTERRUPT(b_end_io_correctly)
DEFINE_INTERRUPT(b_end_io_unlocked)

static __always_inline int b_end_io_with(const struct call *call, const struct locking *how)
{
	if (how->context == MAY_SLEEP)
		return end_io(call, how, NULL);
	return end_io(call, how, how->buffer == NOT_HELD ? vfs_faulty_b_end_io_unlocked_in_interrupt
							 : vfs_faulty_b_end_io_correctly_in_interrupt);
}
#else
OWN_CALL_NOT_OFFERED(b_end_io)
#endif

#define OWN_BUFFER_FAULTS(FAULT)							\
	FAULT(b_end_io, b_end_io_unlocked, "b_end_io", .buffer = NOT_HELD, .context = INTERRUPTS_OFF) \
	FAULT(b_end_io, b_end_io_in_task, "b_end_io.context", .context = MAY_SLEEP)

DEFINE_CORRECT(b_end_io, .context = INTERRUPTS_OFF)
OWN_BUFFER_FAULTS(DEFINE_FAULT)

const struct fault own_buffer_faults[] = { OWN_BUFFER_FAULTS(FAULT_ENTRY) {} };

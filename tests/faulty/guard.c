// SPDX-License-Identifier: GPL-2.0
/*
 * A task that holds one lock for another task's call: "someone holds it" is not "the caller holds it".
 */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/sched.h>

#include "vfs_faulty.h"

DEFINE_SPINLOCK(context_spinlock);

static void acquire(const struct other_task *other)
{
	if (other->mutex)
		mutex_lock(other->mutex);
	else if (other->shared)
		down_read(other->rwsem);
	else
		down_write(other->rwsem);
}

static void release(const struct other_task *other)
{
	if (other->mutex)
		mutex_unlock(other->mutex);
	else if (other->shared)
		up_read(other->rwsem);
	else
		up_write(other->rwsem);
}

static int hold_until_stopped(void *data)
{
	struct other_task *other = data;

	acquire(other);
	complete(&other->held);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (kthread_should_stop())
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	release(other);
	return 0;
}

int other_task_acquire(struct other_task *other)
{
	init_completion(&other->held);
	other->task = kthread_run(hold_until_stopped, other, "vfs_faulty_other");
	if (IS_ERR(other->task))
		return PTR_ERR(other->task);
	wait_for_completion(&other->held);
	return 0;
}

void other_task_release(struct other_task *other)
{
	kthread_stop(other->task);
}

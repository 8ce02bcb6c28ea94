// SPDX-License-Identifier: GPL-2.0
/*
 * From a path in the module's own file system to what a call needs; which callback is to misbehave, and for whom.
 */
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/fs_struct.h>
#include <linux/kprobes.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "own.h"

#define SLEEP_MS 10

/* The task whose calls are meant; one at a time. */
static struct task_struct *caller;
static enum misdeed wanted;
static bool is_reached;
static DEFINE_MUTEX(caller_mutex);

bool own_is_called(void)
{
	/* An interrupt of the task is no part of its call: RCU frees inodes there. */
	return READ_ONCE(caller) == current && in_task();
}

void own_called(void)
{
	WRITE_ONCE(caller, NULL);
}

enum misdeed own_misdeed(const char *name)
{
	if (!own_is_called())
		return BEHAVE;
	pr_debug("%s\n", name);
	is_reached = true;
	return wanted;
}

void own_sleep(void)
{
	msleep(SLEEP_MS);
}

enum misdeed own_callback(const char *name)
{
	enum misdeed misdeed = own_misdeed(name);

	if (misdeed == SLEEP)
		own_sleep();
	return misdeed;
}

struct folio *own_new_folio(struct address_space *mapping)
{
	struct folio *folio = folio_alloc(GFP_ATOMIC, 0);

	if (folio) {
		folio->mapping = mapping;
		folio->index = 0;
		/* Else the kernel warns when it is made dirty. */
		folio_mark_uptodate(folio);
	}
	return folio;
}

/* What belongs to nobody must look so when it is freed. */
void own_drop_folio(struct folio *folio)
{
	if (!folio)
		return;
	if (folio_test_locked(folio))
		folio_unlock(folio);
	if (folio_test_private(folio))
		folio_detach_private(folio);
	__folio_clear_dirty(folio);
	folio->mapping = NULL;
	folio_put(folio);
}

/* A folio that is dropped later. */
struct late_folio {
	struct delayed_work work;
	struct folio *folio;
};

static atomic_t late_folios = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(late_folios_dropped);
static struct workqueue_struct *late_folios_queue;

static void drop_late_folio(struct work_struct *work)
{
	struct late_folio *late = container_of(to_delayed_work(work), struct late_folio, work);

	own_drop_folio(late->folio);
	kfree(late);
	if (atomic_dec_and_test(&late_folios))
		wake_up(&late_folios_dropped);
}

int own_drop_folio_later(struct own *own)
{
	struct late_folio *late = kmalloc(sizeof(*late), GFP_ATOMIC);

	if (!late)
		return -ENOMEM;
	late->folio = own->folio;
	own->folio = NULL;
	atomic_inc(&late_folios);
	INIT_DELAYED_WORK(&late->work, drop_late_folio);
	queue_delayed_work(late_folios_queue, &late->work, msecs_to_jiffies(PUT_OFF_MS));
	return 0;
}

int own_begin(void)
{
	late_folios_queue = alloc_workqueue("vfs_faulty", WQ_UNBOUND, 0);
	return late_folios_queue ? 0 : -ENOMEM;
}

void own_end(void)
{
	wait_event(late_folios_dropped, !atomic_read(&late_folios));
	destroy_workqueue(late_folios_queue);
}

static int open_file(struct own *own, const struct call *call)
{
	const struct path path = { .mnt = own->place.parent.mnt, .dentry = own->place.child };

	own->dentry = own->place.child;
	own->inode = d_inode(own->dentry);
	if (!own->inode || own->inode->i_sb->s_type != &pseudo_fs_type)
		return -EINVAL;
	own->mapping = own->inode->i_mapping;
	own->sb = own->inode->i_sb;
	own->file = dentry_open(&path, S_ISDIR(own->inode->i_mode) ? O_RDONLY : O_RDWR, current_cred());
	return PTR_ERR_OR_ZERO(own->file);
}

int own_open(struct own *own, const struct call *call, const struct locking *how, unsigned int locks)
{
	int error;

	*own = (struct own){};
	if ((locks & NAMESPACE_SEM) && !namespace_sem_of_kernel())
		return -EOPNOTSUPP;
	if ((locks & BLOCKED_LOCK_LOCK) && !blocked_lock_lock_of_kernel())
		return -EOPNOTSUPP;
	error = place_open(&own->place, call->path);
	if (error)
		return error;
	error = open_file(own, call);
	if (error)
		goto close;
	if (locks & (FOLIO_LOCK | A_FOLIO)) {
		own->folio = own_new_folio(own->mapping);
		error = own->folio ? 0 : -ENOMEM;
	}
	if (!error && (locks & FLC_LOCK) && !own->inode->i_flctx)
		error = -EINVAL;
	if (error)
		goto put;
	mutex_lock(&caller_mutex);
	wanted = how->misdeed;
	is_reached = false;
	WRITE_ONCE(caller, current);
	return 0;
put:
	fput(own->file);
close:
	place_close(&own->place);
	return error;
}

int own_close(struct own *own, int error)
{
	if (!error && !is_reached)
		error = -ENXIO;
	WRITE_ONCE(caller, NULL);
	mutex_unlock(&caller_mutex);
	own_drop_folio(own->folio);
	fput(own->file);
	place_close(&own->place);
	return error;
}

void *kernel_symbol(const char *name)
{
	static unsigned long (*lookup)(const char *name);
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };

	if (!lookup) {
		if (register_kprobe(&probe))
			return NULL;
		lookup = (void *)probe.addr;
		unregister_kprobe(&probe);
	}
	return (void *)lookup(name);
}

struct rw_semaphore *namespace_sem_of_kernel(void)
{
	static struct rw_semaphore *namespace_sem;

	if (!namespace_sem)
		namespace_sem = kernel_symbol("namespace_sem");
	return namespace_sem;
}

spinlock_t *blocked_lock_lock_of_kernel(void)
{
	static spinlock_t *blocked_lock_lock;

	if (!blocked_lock_lock)
		blocked_lock_lock = kernel_symbol("blocked_lock_lock");
	return blocked_lock_lock;
}

struct rw_semaphore *own_other_umount(void)
{
	return &current->fs->root.mnt->mnt_sb->s_umount;
}

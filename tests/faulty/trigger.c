// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/vfs_faulty/trigger: write "FAULT PATH [PATH2]" to commit a fault, "FAULT:ok PATH [PATH2]" for the same
 * call with the right locks, either behind "deep " for the same with many other locks held; read for the list of faults, one per line, each with the rule that it breaks.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/rwsem.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "own.h"

#define REQUEST_BYTES_MAX 2048
/* More locks than a tracer that keeps a short list per task has room for. */
#define DEEP 24

static struct dentry *debugfs_directory;

static const struct fault *const all_faults[] = {
	children_faults,
	rename_faults,
	attributes_faults,
	pseudo_fs_faults,
	directory_faults,
	xattr_faults,
	own_dentry_faults,
	own_super_faults,
	own_type_faults,
	own_page_faults,
	own_writeback_faults,
	own_readahead_faults,
	own_vm_faults,
	own_file_faults,
	own_lock_faults,
	own_lock_manager_faults,
	own_disk_faults,
	own_quota_faults,
	own_buffer_faults,
};

static const struct fault *find(const char *identifier)
{
	const struct fault *fault;
	size_t table;

	for (table = 0; table < ARRAY_SIZE(all_faults); table++)
		for (fault = all_faults[table]; fault->identifier; fault++)
			if (!strcmp(fault->identifier, identifier))
				return fault;
	return NULL;
}

static int perform(char *request)
{
	char *name = strsep(&request, " ");
	const struct call call = {
		.path = strsep(&request, " "),
		.second_path = strsep(&request, " "),
	};
	char *variant = name;
	const struct fault *fault;

	name = strsep(&variant, ":");
	strreplace(name, '-', '_');
	fault = find(name);
	if (!fault || (variant && strcmp(variant, "ok")))
		return -EINVAL;
	return variant ? fault->perform_correctly(&call) : fault->perform(&call);
}

/* The same with many other locks held, shared. */
static int perform_deep(char *request)
{
	struct rw_semaphore *deep = kmalloc_array(DEEP, sizeof(*deep), GFP_KERNEL);
	int error, i;

	if (!deep)
		return -ENOMEM;
	for (i = 0; i < DEEP; i++) {
		init_rwsem(&deep[i]);
		down_read(&deep[i]);
	}
	error = perform(request);
	for (i = DEEP; i-- > 0;)
		up_read(&deep[i]);
	kfree(deep);
	return error;
}

static ssize_t trigger_write(struct file *file, const char __user *buffer, size_t count, loff_t *position)
{
	char *request;
	int error;

	if (count >= REQUEST_BYTES_MAX)
		return -E2BIG;
	request = memdup_user_nul(buffer, count);
	if (IS_ERR(request))
		return PTR_ERR(request);
	error = strstarts(request, "deep ") ? perform_deep(strim(request) + 5) : perform(strim(request));
	kfree(request);
	return error ?: count;
}

static int trigger_show(struct seq_file *seq, void *unused)
{
	const struct fault *fault;
	const char *c;
	size_t table;

	for (table = 0; table < ARRAY_SIZE(all_faults); table++) {
		for (fault = all_faults[table]; fault->identifier; fault++) {
			for (c = fault->identifier; *c; c++)
				seq_putc(seq, *c == '_' ? '-' : *c);
			seq_printf(seq, " %s\n", fault->rule);
		}
	}
	return 0;
}

static int trigger_open(struct inode *inode, struct file *file)
{
	return single_open(file, trigger_show, NULL);
}

static const struct file_operations trigger_operations = {
	.owner = THIS_MODULE,
	.open = trigger_open,
	.read = seq_read,
	.write = trigger_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int __init vfs_faulty_init(void)
{
	int error = own_begin();

	if (error)
		return error;
	error = pseudo_fs_register();
	if (error)
		goto end;
	error = own_disk_create();
	if (error)
		goto unregister;
	debugfs_directory = debugfs_create_dir("vfs_faulty", NULL);
	debugfs_create_file("trigger", 0600, debugfs_directory, NULL, &trigger_operations);
	return 0;
unregister:
	pseudo_fs_unregister();
end:
	own_end();
	return error;
}

static void __exit vfs_faulty_exit(void)
{
	debugfs_remove(debugfs_directory);
	own_disk_remove();
	pseudo_fs_unregister();
	own_end();
}

module_init(vfs_faulty_init);
module_exit(vfs_faulty_exit);
MODULE_DESCRIPTION("Calls VFS callbacks against the documented locking rules, on demand");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0
/*
 * From a path in the trigger file to a pinned directory and child, by the kernel's own look-up and its own locking.
 */
#include <linux/slab.h>
#include <linux/string.h>

#include "vfs_faulty.h"

/* The directory part of an absolute path, allocated; its last component through `name`. */
static char *split(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path || !slash[1])
		return ERR_PTR(-EINVAL);
	*name = slash + 1;
	return kstrndup(path, slash - path, GFP_KERNEL) ?: ERR_PTR(-ENOMEM);
}

static int open_without_writing(struct place *place, const char *path)
{
	const char *name;
	char *directory;
	int error;

	if (!path)
		return -EINVAL;
	directory = split(path, &name);
	if (IS_ERR(directory))
		return PTR_ERR(directory);
	error = kern_path(directory, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &place->parent);
	kfree(directory);
	if (error)
		return error;
	place->child = lookup_child(place->parent.dentry, name, strlen(name));
	error = PTR_ERR_OR_ZERO(place->child);
	if (error)
		path_put(&place->parent);
	return error;
}

int place_open(struct place *place, const char *path)
{
	int error = open_without_writing(place, path);

	if (error)
		return error;
	error = mnt_want_write(place->parent.mnt);
	place->is_writer = !error;
	if (error)
		place_close(place);
	return error;
}

int place_open_beside(struct place *place, const char *path, const struct place *first)
{
	int error = open_without_writing(place, path);

	if (error)
		return error;
	place->is_writer = false;
	if (place->parent.mnt == first->parent.mnt)
		return 0;
	place_close(place);
	return -EXDEV;
}

void place_close(struct place *place)
{
	dput(place->child);
	if (place->is_writer)
		mnt_drop_write(place->parent.mnt);
	path_put(&place->parent);
}

int place_expect(const struct place *place, bool positive)
{
	if (place->child->d_parent != place->parent.dentry || d_unhashed(place->child))
		return -ESTALE;
	if (d_really_is_positive(place->child) == positive)
		return 0;
	return positive ? -ENOENT : -EEXIST;
}

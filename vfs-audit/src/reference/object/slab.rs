//! Memory of kernel objects: type-stable, as with `SLAB_TYPESAFE_BY_RCU`.
//!
//! An object's memory is only ever used again for an object of its type, so a reference to one is `'static` and a lockless
//! walk may look at an object that was freed meanwhile. A kernel that is dropped gives its objects to a pool that the next
//! one takes from; what the pool has grown to is the most that was in use at one time.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicPtr, Ordering},
};

/// An object that comes from a slab.
pub(crate) trait Pooled: Sized + Send + Sync + 'static {
    /// Where free ones wait between two kernels.
    fn pool() -> &'static Mutex<Vec<&'static Self>>;
    /// A new one.
    fn fresh() -> Self;
    /// Makes one as new.
    fn renew(&self);
}

/// Implements [`Pooled`] with a pool of its own.
macro_rules! pooled {
    ($type:ty) => {
        impl $crate::reference::object::slab::Pooled for $type {
            fn pool() -> &'static std::sync::Mutex<Vec<&'static Self>> {
                static POOL: std::sync::Mutex<Vec<&'static $type>> = std::sync::Mutex::new(Vec::new());
                &POOL
            }

            fn fresh() -> Self {
                Self::new()
            }

            fn renew(&self) {
                self.reset();
            }
        }
    };
}
pub(crate) use pooled;

/// Locks a leaf mutex, which nobody holds across anything that can wait.
pub(crate) fn leaf<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Objects of one type of one kernel.
#[derive(Debug)]
pub(crate) struct Slab<T: Pooled> {
    free: Mutex<Vec<&'static T>>,
    all: Mutex<Vec<&'static T>>,
}

impl<T: Pooled> Default for Slab<T> {
    fn default() -> Self {
        Self { free: Mutex::new(Vec::new()), all: Mutex::new(Vec::new()) }
    }
}

impl<T: Pooled> Slab<T> {
    /// An object as new.
    pub(crate) fn allocate(&self) -> &'static T {
        if let Some(object) = leaf(&self.free).pop() {
            object.renew();
            return object;
        }
        let pooled = leaf(T::pool()).pop();
        let object = pooled.unwrap_or_else(|| Box::leak(Box::new(T::fresh())));
        object.renew();
        leaf(&self.all).push(object);
        object
    }

    /// Gives an object back.
    pub(crate) fn free(&self, object: &'static T) {
        leaf(&self.free).push(object);
    }

    /// Objects that are not free.
    pub(crate) fn in_use(&self) -> usize {
        leaf(&self.all).len() - leaf(&self.free).len()
    }
}

impl<T: Pooled> Drop for Slab<T> {
    fn drop(&mut self) {
        leaf(T::pool()).append(&mut leaf(&self.all));
    }
}

/// A member that points to an object, or to nothing.
#[derive(Debug)]
pub(crate) struct Slot<T: 'static>(AtomicPtr<T>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }
}

impl<T> Slot<T> {
    /// What it points to.
    pub(crate) fn get(&self) -> Option<&'static T> {
        // SAFETY: only `set` stores here, and it stores null or a reference that is valid for ever.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Lets it point elsewhere.
    pub(crate) fn set(&self, object: Option<&'static T>) {
        let pointer = object.map_or(std::ptr::null_mut(), |object| std::ptr::from_ref(object).cast_mut());
        self.0.store(pointer, Ordering::Release);
    }
}

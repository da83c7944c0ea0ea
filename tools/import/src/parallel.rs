//! Spreads work over threads so that the outcome does not depend on their number.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Error;

/// Cores that this process may use.
#[must_use]
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What `work` makes of each item, in the order of the items. Of several faults the one of the first item is returned.
pub(crate) fn map<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(usize, &T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let threads = threads.clamp(1, items.len().max(1));
    if threads == 1 {
        return items.iter().enumerate().map(|(at, item)| work(at, item)).collect();
    }
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let done: Mutex<Vec<Option<Result<R, Error>>>> = Mutex::new(items.iter().map(|_| None).collect());
    let run = || {
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let made = work(at, item);
            if made.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            if let Ok(mut done) = done.lock() {
                done[at] = Some(made);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    // Items are taken in order: before the first fault all are done.
    let done = done.into_inner().unwrap_or_default();
    done.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        for threads in [1, 2, 7] {
            let squares = map(threads, &items, |at, &item| Ok(at * item)).unwrap();
            assert!(squares.iter().enumerate().all(|(at, &s)| s == at * at) && squares.len() == 1000);
        }
        let fault = |at: usize| Error::Option {
            option: "--x",
            fault: at.to_string(),
        };
        let failed = map(3, &items, |at, _| if at % 100 == 7 { Err(fault(at)) } else { Ok(()) });
        assert_eq!(failed.unwrap_err().to_string(), "--x: 7");
    }
}

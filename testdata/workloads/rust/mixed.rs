// A bit of everything that Rust programs do: maps, strings, sorting, boxed
// closures, threads.
//
//     mixed SECONDS
use std::collections::{BTreeMap, HashMap};
use std::env;
use std::thread;
use std::time::{Duration, Instant};

#[inline(never)]
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[inline(never)]
fn count_words(state: &mut u64) -> usize {
    let mut words: HashMap<String, u64> = HashMap::new();
    for _ in 0..2000 {
        *words.entry(format!("word{}", next(state) % 300)).or_insert(0) += 1;
    }
    words.len()
}

#[inline(never)]
fn order_keys(state: &mut u64) -> u64 {
    let mut keys: BTreeMap<u64, u64> = BTreeMap::new();
    for i in 0..2000 {
        *keys.entry(next(state) % 1000).or_insert(0) += i;
    }
    keys.values().sum()
}

#[inline(never)]
fn sort_by_call(state: &mut u64) -> u64 {
    let mut numbers: Vec<u64> = (0..4000).map(|_| next(state)).collect();
    let compare: Box<dyn Fn(&u64, &u64) -> std::cmp::Ordering> = Box::new(|a, b| (a % 1000).cmp(&(b % 1000)));
    numbers.sort_by(|a, b| compare(a, b));
    numbers[numbers.len() / 2]
}

fn work(end: Instant, mut state: u64) -> u64 {
    let mut sink = 0u64;
    while Instant::now() < end {
        sink = sink.wrapping_add(count_words(&mut state) as u64);
        sink = sink.wrapping_add(order_keys(&mut state));
        sink = sink.wrapping_add(sort_by_call(&mut state));
    }
    sink
}

fn main() {
    let seconds: f64 = env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(0.0);
    if seconds <= 0.0 {
        eprintln!("usage: mixed SECONDS");
        std::process::exit(2);
    }
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let other = thread::spawn(move || work(end, 88172645463325252));
    let sum = work(end, 1442695040888963407).wrapping_add(other.join().unwrap());
    println!("{}", sum & 1);
}

// Counts the words of its arguments: iterators and closures, which the
// compiler inlines.
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Token {
    Number(i64),
    Sign(char),
    Word(String),
}

fn split(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if let Some(first) = c.to_digit(10) {
            let mut n = first as i64;
            while let Some(d) = rest.peek().and_then(|c| c.to_digit(10)) {
                n = n.wrapping_mul(10) + d as i64;
                rest.next();
            }
            out.push(Token::Number(n));
        } else if c.is_alphabetic() {
            let mut word = c.to_string();
            while let Some(&d) = rest.peek() {
                if !d.is_alphanumeric() {
                    break;
                }
                word.push(d);
                rest.next();
            }
            out.push(Token::Word(word));
        } else if !c.is_whitespace() {
            out.push(Token::Sign(c));
        }
    }
    out
}

fn main() {
    let text = std::env::args().collect::<Vec<_>>().join(" ");
    let mut count: HashMap<Token, usize> = HashMap::new();
    for token in split(&text) {
        *count.entry(token).or_default() += 1;
    }
    let sorted: BTreeMap<_, _> = count.iter().collect();
    let mut lines: Vec<_> = sorted.into_iter().map(|(k, v)| format!("{:?}={}", k, v)).collect();
    lines.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    println!("{}", lines.join(","));
}

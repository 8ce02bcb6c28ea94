//! Kernel symbols: any text in place of `/proc/kallsyms`, any address asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfs_audit::kernel::Symbols;

fuzz_target!(|input: (u64, &str)| {
    let (address, text) = input;
    let symbols = Symbols::parse(text.to_owned());
    for address in [0, address, u64::MAX] {
        if let Some(symbol) = symbols.resolve(address) {
            assert!(symbol.offset <= address && text.contains(symbol.name) && text.contains(symbol.module));
            assert!(!symbols.render(address).is_empty());
        }
        let _ = (symbols.function_at(address), symbols.is_text(address), symbols.end_of(address));
    }
    for (address, name, _) in symbols.data(|_| true) {
        assert!(symbols.addresses(name).contains(&address));
    }
});

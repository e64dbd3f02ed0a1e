//! The library's remedies name its builder's methods; a reader of this program's messages has options.

use cdc_core::Error;

/// What a method of the builder is called on the command line.
const OPTIONS: [(&str, &str); 7] = [
    (".adopt_slot(true)", "--adopt-slot"),
    (", and .create_publication(false) is set", ", and --publication does not make it"),
    (".create_publication(false)", "--publication NAME"),
    (".publication_name(..)", "--name"),
    (".slot_name(..)", "--name"),
    (".tables(..)", "--tables"),
    (".exclude_tables(..)", "--exclude"),
];

/// The error in the words of the command line.
pub(crate) fn message(error: &Error) -> String {
    OPTIONS.iter().fold(error.to_string(), |text, (method, option)| text.replace(method, option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_name_options_of_the_command_line() {
        let error =
            Error::configuration("the slot is taken").remedy("choose another .slot_name(..)");
        assert_eq!(message(&error), "the slot is taken; choose another --name");
    }
}

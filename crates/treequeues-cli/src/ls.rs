//! `treequeues ls`: a line a queue or topic.

use std::io::Write;

use treequeues::names_folder;

use crate::arguments::Ls;
use crate::failure::Failure;
use crate::look::{Content, Facts, Kind};
use crate::output::{Cell, Side, Table, style_of, write_json};
use crate::units;
use crate::watcher::Watcher;

pub fn run(asked: &Ls, out: &mut dyn Write) -> Result<(), Failure> {
    let looks = Watcher::default().look_at_all()?;
    if asked.json {
        return Ok(write_json(&looks, out)?);
    }
    if looks.is_empty() {
        writeln!(out, "No named queues in {}.", names_folder().display())?;
        writeln!(
            out,
            "A queue or topic is found here if it was made with a name: TreeQueue(example, 64, name=\"actors\")."
        )?;
        return Ok(());
    }
    let mut table = Table::new([
        ("NAME", Side::Left),
        ("KIND", Side::Left),
        ("STATE", Side::Left),
        ("ITEMS", Side::Right),
        ("CAPACITY", Side::Right),
        ("VERSION", Side::Right),
        ("SIZE", Side::Right),
        ("PROCESSES", Side::Right),
        ("AGE", Side::Right),
        ("NOTE", Side::Left),
    ]);
    for look in &looks {
        let of_facts = |text: &dyn Fn(&Facts) -> String| look.facts.as_ref().map(text).unwrap_or("-".into());
        let of_content =
            |text: &dyn Fn(&Content) -> String| look.content.as_ref().map(text).unwrap_or("-".into());
        let kind = look.kind.map_or("-", Kind::word);
        let version = look.content.as_ref().and_then(Content::version);
        let note = match (&look.reason, &look.content) {
            (Some(reason), _) => reason.clone(),
            (None, Some(content)) if content.shut_down => "shut down".to_owned(),
            _ => String::new(),
        };
        table.add(vec![
            look.name.clone().into(),
            kind.into(),
            Cell::styled(look.state.word(), style_of(look.state)),
            of_content(&|content| content.items.to_string()).into(),
            of_facts(&|facts| facts.capacity.to_string()).into(),
            version.map_or(String::new(), |version| version.to_string()).into(),
            of_facts(&|facts| units::bytes(facts.bytes as f64)).into(),
            // The dead that nobody has swept yet are no processes any more.
            of_content(&|content| content.participants.iter().filter(|who| who.alive).count().to_string())
                .into(),
            of_facts(&|facts| units::age(facts.age_seconds)).into(),
            note.into(),
        ]);
    }
    Ok(table.write(out)?)
}

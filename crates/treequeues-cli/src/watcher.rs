//! Looks, at one queue or topic or at all of them, again and again.

use std::collections::HashMap;

use treequeues::{AnyObserver, AttachError, NameState, QueueName, name_state, names, names_folder};

use crate::failure::Failure;
use crate::look::{Look, State};

/// Tries at a name that changes hands between two steps of a look.
const MAX_TRIES: usize = 5;

/// Keeps the queues and topics open that it has looked at, so that the next look need not parse their schemas again.
#[derive(Default)]
pub struct Watcher {
    open: HashMap<QueueName, AnyObserver>,
}

impl Watcher {
    /// All names of this user, in order.
    pub fn look_at_all(&mut self) -> Result<Vec<Look>, Failure> {
        let names = all_names()?;
        self.open.retain(|name, _| names.contains(name));
        let mut looks = Vec::with_capacity(names.len());
        for name in &names {
            // What went between the two looks is not there.
            looks.extend(self.look_at(name)?);
        }
        Ok(looks)
    }

    /// What this name leads to now; `None` if it leads nowhere.
    pub fn look_at(&mut self, name: &QueueName) -> Result<Option<Look>, Failure> {
        for _ in 0..MAX_TRIES {
            if !self.open.get(name).is_some_and(|observer| observer.observed().has_name()) {
                self.open.remove(name);
                match AnyObserver::open(name) {
                    Ok(observer) => self.open.insert(name.clone(), observer),
                    Err(AttachError::NotFound { .. }) => return Ok(None),
                    Err(error @ (AttachError::System { .. } | AttachError::Folder(_))) => {
                        return Err(error.into());
                    }
                    Err(_) => match name_state(name)? {
                        None => return Ok(None),
                        Some(NameState::Broken(error)) => {
                            return Ok(Some(unusable(name, State::Broken, &error)));
                        }
                        Some(NameState::Foreign(error)) => {
                            return Ok(Some(unusable(name, State::Foreign, &error)));
                        }
                        // It was replaced by a sound one just now.
                        Some(NameState::Live | NameState::Idle | NameState::Stale) => continue,
                    },
                };
            }
            return Ok(Some(Look::at(&self.open[name])?));
        }
        Err(AttachError::ChangingHands { name: name.clone() }.into())
    }

    /// The observer of the last look at this name, if there was something to look into.
    pub fn observer(&self, name: &QueueName) -> Option<&AnyObserver> {
        self.open.get(name)
    }
}

/// The names of this user's queues and topics.
pub fn all_names() -> Result<Vec<QueueName>, Failure> {
    Ok(names()?)
}

/// For a name that leads nowhere.
pub fn not_found(name: &QueueName) -> Failure {
    Failure::refused(format!(
        "nothing is named {:?} in {}; `treequeues ls` lists those that are there",
        name.as_str(),
        names_folder().display()
    ))
}

fn unusable(name: &QueueName, state: State, error: &AttachError) -> Look {
    let reason = Some(error.to_string());
    Look { name: name.to_string(), kind: None, state, reason, facts: None, content: None }
}

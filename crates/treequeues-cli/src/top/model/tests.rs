//! Rates, orders and selections of looks that are made up.

use super::super::testing::{look, participant, topic};
use super::*;

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn model(looks: Vec<Vec<Look>>) -> Model {
    let mut model = Model::default();
    for (second, looks) in looks.into_iter().enumerate() {
        model.update(at(second as f64), looks);
    }
    model
}

fn names(model: &Model) -> Vec<&str> {
    model.sorted().iter().map(|queue| queue.look.name.as_str()).collect()
}

#[test]
fn rates_are_those_between_two_looks() {
    let before = look("a", 1, 10).with(participant(0, 100, 90).waited(1.0, 0.0));
    let after = look("a", 1, 20).with(participant(0, 300, 280).waited(1.5, 0.0));
    let mut model = Model::default();
    model.update(at(0.0), vec![before.look]);
    assert_eq!(model.sorted()[0].rates, Rates::default(), "one look is no rate");
    model.update(at(2.0), vec![after.look]);
    let queue = model.sorted()[0];
    assert_eq!((queue.rates.puts_per_second, queue.rates.gets_per_second), (100.0, 95.0));
    assert_eq!(queue.bytes_per_second(), 100.0 * 1000.0);
    assert_eq!((queue.rates.put_waiting, queue.rates_of(0).put_waiting), (0.25, 0.25));
    assert_eq!(Vec::from(queue.depths.clone()), [Some(10), Some(20)]);
}

#[test]
fn what_a_subscription_misses_is_a_rate_of_its_own() {
    let at_version = |version, missed| {
        let look = topic("a", 1, version, 0).with(participant(0, 0, 0));
        vec![look.subscribed(0, 3, missed).subscribed(0, 0, 10).look]
    };
    let mut model = model(vec![at_version(100, 5)]);
    model.update(at(2.0), at_version(300, 25));
    let topic = model.sorted()[0];
    assert_eq!((topic.rates.puts_per_second, topic.rates.missed_per_second), (100.0, 10.0));
    assert_eq!([0, 1, 2].map(|number| topic.missed_per_second(number)), [10.0, 0.0, 0.0]);
    assert_eq!((topic.version(), topic.most_lag(), topic.subscriptions()), (Some(300), Some(3), Some(2)));
    // Another subscription has the number by now.
    model.update(at(3.0), at_version(300, 0));
    assert_eq!(model.sorted()[0].missed_per_second(0), 0.0);
}

#[test]
fn a_topic_is_as_full_as_its_slots_are_used() {
    let model = model(vec![vec![topic("a", 1, 100, 2).look, look("b", 2, 16).look]]);
    let [topic, queue] = model.sorted()[..] else { panic!("two") };
    assert_eq!((topic.items(), topic.fill(), queue.fill()), (Some(8), Some(0.25), Some(0.25)));
    assert_eq!((queue.version(), queue.most_lag(), queue.subscriptions()), (None, None, None));
}

#[test]
fn waits_are_the_mean_of_those_who_could_wait() {
    let first = |waited| participant(0, 10, 0).waited(waited, 0.0);
    let second = |waited| participant(1, 10, 0).waited(waited, 0.0);
    let consumer = |waited| participant(2, 0, 10).waited(0.0, waited);
    let before = look("a", 1, 0).with(first(0.0)).with(second(0.0)).with(consumer(0.0)).look;
    // Several threads of the consumer waited.
    let after = look("a", 1, 0).with(first(1.0)).with(second(0.5)).with(consumer(30.0)).look;
    let model = model(vec![vec![before], vec![after]]);
    let rates = model.sorted()[0].rates;
    assert_eq!((rates.put_waiting, rates.get_waiting), (0.75, 1.0));
}

#[test]
fn another_queue_of_the_same_name_starts_anew() {
    let mut model = model(vec![vec![look("a", 1, 5).with(participant(0, 1000, 0)).look]]);
    model.update(at(1.0), vec![look("a", 2, 7).with(participant(0, 3000, 0)).look]);
    let queue = model.sorted()[0];
    assert_eq!((queue.rates, queue.depths.len()), (Rates::default(), 1));
    model.update(at(2.0), vec![look("a", 2, 7).with(participant(0, 3010, 0)).look]);
    assert_eq!(model.sorted()[0].rates.puts_per_second, 10.0);
}

#[test]
fn another_participant_at_the_same_place_starts_anew() {
    let mut after = participant(0, 500, 0);
    after.pid += 1;
    let model = model(vec![
        vec![look("a", 1, 0).with(participant(0, 10, 0)).look],
        vec![look("a", 1, 0).with(after).look],
    ]);
    assert_eq!(model.sorted()[0].rates_of(0), Rates::default());
}

#[test]
fn a_queue_that_is_gone_is_shown_for_a_while() {
    let mut model = model(vec![vec![look("a", 1, 5).look, look("b", 2, 5).look]]);
    let there = || vec![look("b", 2, 5).look];
    model.update(at(1.0), there());
    assert_eq!((names(&model), model.sorted()[0].state_word()), (vec!["a", "b"], "gone"));
    model.update(at(5.9), there());
    assert_eq!(names(&model), ["a", "b"]);
    model.update(at(6.1), there());
    assert_eq!(names(&model), ["b"]);
    assert_eq!(model.selected().expect("one is left").look.name, "b");
}

#[test]
fn a_queue_that_comes_back_is_gone_no_more() {
    let mut model = model(vec![vec![look("a", 1, 5).look], vec![], vec![look("a", 2, 5).look]]);
    assert_eq!(model.sorted()[0].state_word(), "live");
    model.update(at(3.0), vec![]);
    assert_eq!(model.sorted()[0].state_word(), "gone");
}

#[test]
fn the_order_is_what_was_asked_for() {
    let looks = || vec![look("a", 1, 5).look, look("b", 2, 50).look, look("c", 3, 5).look];
    let mut model = model(vec![looks()]);
    assert_eq!(names(&model), ["a", "b", "c"]);
    model.is_reversed = true;
    assert_eq!(names(&model), ["c", "b", "a"]);
    (model.sort, model.is_reversed) = (SortBy::Items, false);
    assert_eq!(names(&model), ["b", "a", "c"], "of equal ones the first by name comes first");
    model.is_reversed = true;
    assert_eq!(names(&model), ["a", "c", "b"]);
}

#[test]
fn the_sort_goes_through_all_columns() {
    let mut sort = SortBy::default();
    for expected in SortBy::ALL.iter().cycle().skip(1).take(SortBy::ALL.len()) {
        sort = sort.next();
        assert_eq!(sort, *expected);
    }
    assert_eq!(sort, SortBy::default());
}

#[test]
fn the_selection_follows_its_queue_and_stops_at_the_ends() {
    let mut model = model(vec![vec![look("a", 1, 1).look, look("b", 2, 2).look, look("c", 3, 3).look]]);
    assert_eq!(model.selected_place(), Some(0));
    model.select(1);
    model.sort = SortBy::Items;
    assert_eq!(model.selected().expect("b").look.name, "b");
    model.select(10);
    assert_eq!(model.selected_place(), Some(2));
    model.select(-10);
    assert_eq!(model.selected_place(), Some(0));
    let mut nothing = Model::default();
    nothing.select(1);
    assert_eq!(nothing.selected_place(), None);
}

#[test]
fn history_is_bounded() {
    let mut model = Model::default();
    for second in 0..2 * MAX_HISTORY {
        model.update(at(second as f64), vec![look("a", 1, second % 60).look]);
    }
    assert_eq!(model.sorted()[0].depths.len(), MAX_HISTORY);
}

//! A run that is tabulated in f32 and bf16.

use mutualnet_bundle::Bundle;
use mutualnet_core::Precision;
use mutualnet_runtime::Model;
use mutualnet_train::events::Stage;
use mutualnet_train::{Event, tabulate};

use crate::fixture::{Fixture, events};

#[test]
fn rows_in_bf16_are_faster_or_left_out() {
    let fixture = Fixture::new();
    let run = fixture.train("run", &["train.epochs=1", "tabulate.precisions=[\"f32\", \"bf16\"]"]);
    let table = tabulate(&run, "test", &mut ()).unwrap();
    let (single, half): (Vec<_>, Vec<_>) = table.rows().iter().partition(|row| row.precision.is_f32());
    for row in &half {
        let twin = table.row(row.subnet).unwrap();
        let mut times = row.latency.iter().zip(&twin.latency);
        assert!(times.any(|(ours, f32)| ours.p50_ms < f32.p50_ms), "{}", row.name());
        assert!((row.quality.value - twin.quality.value).abs() <= 0.2, "{}", row.name());
    }
    let events = events(&run);
    let left_out = format!("left {} of {} rows in bf16", single.len() - half.len(), single.len());
    let is_told = |event: &Event| matches!(event, Event::Notice { text } if text.starts_with(&left_out));
    assert_eq!(events.iter().any(is_told), half.len() < single.len());
    let evaluated = events.iter().rev().find_map(|event| match event {
        Event::Tabulating { stage: Stage::Evaluate, done, of } => Some((*done, *of)),
        _ => None,
    });
    assert_eq!(evaluated, Some((96, 96)));
    let model = Model::new(&Bundle::read(&run.bundle()).unwrap()).unwrap();
    let has_half = model.config().precisions.contains(&Precision::Bf16);
    assert_eq!((model.table(), has_half), (&table, !half.is_empty()));
}

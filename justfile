# Each command once. They live in .ci/run, so that a machine without `just` runs the same ones: `.ci/run fmt`.

# list the commands
default:
    @just --list --unsorted

# everything CI runs, in its order
ci:
    .ci/run

# format the code
format:
    cargo fmt --all

# is it formatted?
fmt:
    .ci/run fmt

# lints of all targets, warnings are errors
clippy:
    .ci/run clippy

# the crate docs, warnings are errors
docs:
    .ci/run docs

# unit tests, integration tests, doc tests with the README
test:
    .ci/run tests

# the small examples, each checks itself
examples:
    .ci/run examples

# the example gateway, driven with curl as the README says
gateway:
    .ci/run gateway

# sockets and webhooks on the example gateway, a few
load:
    .ci/run load

# each feature by itself
features:
    .ci/run features

# every bench runs once, without measuring
benches:
    .ci/run benches

# the comparison with other crates, seconds of it (`run` without `--short` writes benches/RESULTS.md)
peers:
    .ci/run peers

# what stores cost, seconds of it (`run` without `--short` writes benches/STORES.md)
stores:
    .ci/run stores

# licences, advisories, bans, sources (needs cargo-deny)
deny:
    cargo deny check

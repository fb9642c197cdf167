// Package patterns has what nearly every system of agents needs, made of refs:
// it does not matter how far away the actors are.
//
//   - Gather asks many and goes on as soon as a quorum has answered.
//   - Pipeline sends items through stages, in order or not, with back-pressure.
//   - Pool gives jobs to workers, and those of one that fails to the others.
//   - Topic tells subscribers of events, each as fast as it can take them.
//   - Conversations are many turns, either way, that belong together.
//   - Tasks are given to somebody who reports progress, and may be cancelled.
//
// Most of it works with a Target: an actor, and what it is asked. Targets of
// actors with different messages, near and far, go together.
package patterns

// Package session is the state machine of one channel: it decides, and does
// nothing else. It has no I/O, no goroutine, no clock and no randomness of its
// own. An Event goes into [Session.Step], Effects come out, and whoever owns
// the session carries them out, in order. Time is a value in the event.
//
// # Life of a channel
//
//	connecting    no channel.accept yet (the dialler waits for it, the
//	              acceptor for channel.open)
//	connected     messages flow
//	reconnecting  the connection is gone; the dialler dials again, the
//	              acceptor waits for it to come back
//	closing       an end is agreed; only the rest of it is awaited
//	closed        the last effect was Closed; no event has an effect any more
//
// A dialler's owner makes the first dial itself and reports it as
// EventConnected or EventDialFailed; every later attempt follows an EffectDial.
// Each connection has an epoch, a number greater than that of the one before.
// What is reported about an older connection is ignored.
//
// # Promises
//
//   - Closed comes at most once and nothing comes after it. A Send or a
//     Connected that arrives later has no effect: check State first, fail the
//     one and close the other.
//   - A request that was accepted for sending ends in exactly one Resolve or
//     Fail, unless it was cancelled, and before Closed.
//   - An acceptor writes nothing before channel.accept, and never writes
//     channel.heartbeat (except as an answer), channel.close (except as an
//     acknowledgement) or channel.reject: unmodified 1.0 diallers cannot stand
//     them.
//   - Written messages are numbered 1, 2, 3 … over all connections of the
//     session. Incoming numbers are observed, never enforced.
//   - A reply is recognised by reply_to alone. 1.0 acceptors answer errors
//     under the channel id "error".
//   - The same events give the same effects, as long as NewID and Rand do.
//
// # Time
//
// There is one timer. EffectArm asks for an EventTick at a given time and
// replaces what was asked before; a Tick that comes late or for nothing is
// harmless.
//
// A Session is not safe for concurrent use.
package session

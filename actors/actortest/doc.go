// Package actortest tests actors: Start runs one under a supervisor of its own,
// Actor.CrashOn makes it fail where the test wants, and a Probe stands in for
// an actor that it talks to.
//
// Everything works in the virtual time of testing/synctest, in which timers,
// back-offs and deadlines cost nothing and synctest.Wait returns when all that
// was told is handled. It is the way to use this package:
//
//	synctest.Test(t, func(t *testing.T) {
//		a := actortest.Start(t, actors.Spec[string]{New: newGreeter})
//		a.CrashOn(func(m string) bool { return m == "bob" })
//		a.Tell("alice", "bob", "carol")
//		…
//	})
package actortest

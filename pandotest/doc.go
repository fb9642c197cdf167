// Package pandotest runs agents for tests: real ones, with a real identity
// registry, on a network in memory that can be broken, and, where the test wants
// it, in virtual time.
//
//	func TestTillSurvivesACrash(t *testing.T) {
//		pandotest.Bubble(t, func(w *pandotest.World) {
//			alice, bob := w.Pair()
//			pandotest.Spawn(bob, tillSpec, tills)
//			till := pandotest.RefTo(alice, bob, "till", tills)
//			// talk to it, w.Cut(bob), w.Kill(bob), w.Restart(bob) …
//		})
//	}
//
// Agents have keys and permissions as ever, and find each other's endpoints by
// themselves. When the test ends they are stopped, and goroutines that are left
// fail it. What they log is shown only when the test fails.
//
// A World works inside of testing/synctest (Bubble, or one's own bubble) and
// outside, in real time. OnSockets puts it on TCP instead.
package pandotest

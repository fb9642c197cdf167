// Package transport carries text messages over WebSocket connections (RFC 6455).
//
// It wraps gws, which reads and checks frames, and does the rest itself: the
// opening handshake, a bounded outbound queue with two lanes, joined writes,
// the close handshake with a time limit, limits on what a peer can make us
// hold, and an end that is reported exactly once. It knows nothing of what the
// messages mean.
//
// A connection is made by [Dial] or [Accept] and does nothing until
// [Conn.Start]. From then on one goroutine reads; it never waits for a write.
// [Conn.Send] never blocks either: it queues, and [Conn.Flush] writes all that
// waits with one system call where it can. A goroutine for writing exists only
// while the peer does not take what is sent, or where the connection cannot be
// written without blocking (TLS, wrapped connections).
//
// A peer that breaks RFC 6455 or a limit (see [Options]; also 100 pings within a
// second, of which only the latest unanswered one is answered) gets a close frame
// and some time to read it. Binary messages are refused with 1003, compression is
// never negotiated.
//
// An idle connection over plain TCP holds its reader's stack, the structures of
// net and gws, and no buffer.
package transport

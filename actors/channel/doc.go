// Package channel is the channel actor: one supervised actor per channel that
// owns the WebSocket connection, the timer and the handler queue, and asks the
// pure session (package session) what to do.
//
// The state that has to survive a crash of the actor (session, connection,
// waiting requests, handler queue) is in a cell that belongs to the child's
// record, not to the incarnation. One incarnation at a time works on it; a
// stale one gets ErrFenced. A panic between two steps of the session costs
// nothing: the next incarnation takes the cell over and keeps the connection.
// A panic inside a step, or an incarnation that hangs, poisons the session: it
// is closed as lost and never used again.
package channel

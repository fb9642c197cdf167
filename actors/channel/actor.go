package channel

import (
	"errors"
	"runtime"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/protocol/session"
)

// errFenced says that an incarnation is not in charge of the cell any more.
var errFenced = actors.ErrFenced

// incarnation is one life of the channel actor. It has no state of its own that
// matters: everything is in the cell.
type incarnation struct {
	ch  *Channel
	ctx *actors.Context[*input]

	// What gathers needs to know, and nobody else.
	wrote   uint32 // messages since the last flush
	crowded uint8  // it is not long ago that a flush had several
	yielded bool   // others have had their turn since the last flush
}

var (
	_ actors.Starter[*input] = (*incarnation)(nil)
	_ actors.Stopper         = (*incarnation)(nil)
	_ actors.Idler           = (*incarnation)(nil)
)

// Start takes the cell over and finishes what the last incarnation began.
func (i *incarnation) Start(c *actors.Context[*input]) error {
	i.ctx = c
	ch := i.ch
	if !ch.cell.take(c.Generation()) {
		ch.poison("the session was left in the middle of a step")
		c.Stop(nil) // a failed start would be tried again, and again in vain
		return nil
	}
	if c.Generation() > 1 {
		ch.restarts.Add(1)
		ch.log().Info("channel actor restarted", "incarnation", c.Generation())
	}
	i.wake()
	return nil
}

// wake has the successor of an incarnation that failed go on with what that has
// begun, also if nothing else comes. A tick that is not due is harmless.
func (i *incarnation) wake() {
	ch, left := i.ch, false
	_ = ch.cell.do(i.ctx.Generation(), func() { left = ch.cell.input != nil || ch.cell.current() != nil })
	if left {
		ch.control(ch.newInput(inputTick))
	}
}

// Receive takes one input. It is kept in the cell until it has been taken, so
// that a crash does not lose it.
func (i *incarnation) Receive(c *actors.Context[*input], in *input) {
	i.ctx = c
	err := i.ch.cell.do(c.Generation(), func() {
		i.resume()
		if i.ch.isEnded() {
			in.NotHandled(actors.ErrStopped)
			return
		}
		i.ch.cell.input, i.ch.cell.attempts = in, 0
		i.take(in)
	})
	if err != nil {
		i.ch.log().Warn("input of a fenced incarnation ignored", "incarnation", c.Generation())
	}
}

// resume finishes what an incarnation that failed has begun: first the effects
// that were decided, then the input that was not looked at.
func (i *incarnation) resume() {
	cell := &i.ch.cell
	i.carryOut()
	in := cell.input
	if in == nil || i.ch.isEnded() {
		return
	}
	if cell.attempts >= maxTries && !in.stepped {
		i.ch.log().Error("input dropped: it made the channel actor fail twice", "kind", in.ev.Kind.String())
		in.giveBack(nil)
		i.release(in)
		return
	}
	i.take(in)
}

// take looks at one input inside the cell.
func (i *incarnation) take(in *input) {
	ch := i.ch
	ch.cell.attempts++
	if !in.stepped {
		if ch.env.Fault != nil {
			ch.env.Fault(ch, FaultReceive)
		}
		switch in.kind {
		case inputAttach:
			if in.decided { // the effects of this stage have been carried out above
				in.decided = false
				in.stage++
			}
			i.attach(in)
		case inputCrash:
			reason := in.ev.Reason
			i.release(in)
			panic(reason)
		case inputTick:
			ch.tickWaits.Store(false)
			ch.disarm()
			in.ev.Kind = session.EventTick
			fallthrough
		case inputEvent:
			in.ev.At = ch.env.Now()
			i.decide(&in.ev)
			in.stepped = true
			i.carryOut()
		}
	}
	if l := ch.cell.link; l != nil {
		in.giveBack(l.conn)
	} else {
		in.giveBack(nil)
	}
	i.release(in)
}

// release forgets an input that has been taken.
func (i *incarnation) release(in *input) {
	i.ch.cell.input = nil
	in.free()
}

// attach makes a new connection the channel's own, in three stages that a crash
// can come between: the old connection is lost, the new one is up, and its first
// message has arrived.
func (i *incarnation) attach(in *input) {
	ch, cell := i.ch, &i.ch.cell
	for ; in.stage < 3; in.stage++ {
		ev := session.Event{At: ch.env.Now(), Epoch: in.link.epoch}
		switch in.stage {
		case 0:
			if state := cell.session.State(); state == protocol.StateClosed || state == protocol.StateClosing {
				in.link.conn.Close(closeNormal, "channel closed")
				return
			}
			old := cell.link
			if old == nil {
				continue
			}
			old.conn.Abort(errReplaced)
			ev.Kind, ev.Epoch, ev.Code, ev.Err = session.EventLost, old.epoch, closeAbnormal, errReplaced
		case 1:
			cell.link = in.link
			ch.conn.Store(in.link.conn)
			ev.Kind = session.EventConnected
		case 2:
			if in.ev.Message.Type == "" {
				continue
			}
			ev.Kind, ev.Message = session.EventReceived, in.ev.Message
		}
		i.decide(&ev)
		in.decided = true
		i.carryOut()
		in.decided = false
	}
}

var errReplaced = errors.New("replaced by a newer connection")

// decide asks the session. A panic in here leaves the cell broken.
func (i *incarnation) decide(ev *session.Event) {
	cell := &i.ch.cell
	cell.broken = true
	if i.ch.env.Fault != nil {
		i.ch.env.Fault(i.ch, FaultStep)
	}
	cell.step(ev)
	cell.broken = false
}

// maxTries is how often an effect is begun: one that makes two incarnations
// panic would make every one panic.
const maxTries = 2

// carryOut works through the effects that are due.
func (i *incarnation) carryOut() {
	ch, cell := i.ch, &i.ch.cell
	for {
		e := cell.current()
		if e == nil {
			return
		}
		if cell.tries++; cell.tries > maxTries {
			ch.poison("an effect of the session cannot be carried out: " + e.Kind.String())
			i.ctx.Stop(nil)
			return
		}
		if ch.env.Fault != nil {
			ch.env.Fault(ch, FaultEffect)
		}
		i.do(e)
		cell.done()
	}
}

// Idle writes what the inputs of this activation have brought together.
func (i *incarnation) Idle() {
	if i.gathers() {
		return
	}
	ch := i.ch
	err := ch.cell.do(i.ctx.Generation(), func() {
		i.resume()
		if ch.cell.link != nil {
			ch.cell.link.conn.Flush()
		}
		ch.cell.rest()
	})
	if err != nil {
		ch.log().Warn("flush of a fenced incarnation ignored", "incarnation", i.ctx.Generation())
	}
}

// crowdedFor is how many flushes of one message it takes to believe that there is
// only one who sends.
const crowdedFor = 16

// gathers reports whether to go on before anything is written: while many have
// something to say on one connection, those who are about to say it are let do so
// first, once, and then one system call serves them all.
func (i *incarnation) gathers() bool {
	if i.crowded > 0 && i.wrote > 0 && !i.yielded {
		i.yielded = true
		runtime.Gosched()
		if i.ch.ref.Stats().Queue > 0 {
			return true // Idle is called again behind that
		}
	}
	switch {
	case i.wrote > 1:
		i.crowded = crowdedFor
	case i.wrote == 1 && i.crowded > 0:
		i.crowded--
	}
	i.wrote, i.yielded = 0, false
	return false
}

// Stop is called when the supervisor takes the channel down, or when the
// session has ended.
func (i *incarnation) Stop(error) {
	i.ch.finish(&Error{Code: CodeClosed, Peer: i.ch.peer, Reason: "agent stopped"}, closeGoingAway, "agent stopped", false)
}

// hangAfter is how long an actor may leave a tick unanswered. It does no I/O
// and runs no user code, so this is an age.
const hangAfter = 15 * time.Second

// tick is called by the timer: at the time that the session asked for, or,
// when the tick that it posted then is not taken, once more after hangAfter.
func (c *Channel) tick() {
	if c.tickWaits.Swap(true) {
		c.hung()
		return
	}
	// Before the tick is posted: the actor may take it at once, and the time
	// that it asks for then must stand.
	c.arm(c.env.Now().Add(hangAfter))
	if !c.control(c.newInput(inputTick)) {
		c.disarm()
		c.tickWaits.Store(false)
	}
}

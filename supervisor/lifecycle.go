package supervisor

// The part of the core that follows one child from start to end.

func (k *core) start(c *child) {
	c.gen++
	c.state, c.since = Starting, k.at
	c.up, c.early, c.nested, c.told = false, false, false, false
	if c.rare != nil {
		c.rare.sub, c.rare.load, c.rare.early = nil, nil, nil
	}
	k.do(actStart, c, nil)
	k.arm(c, timerStart, c.startTimeout())
}

// nest learns that an incarnation is a supervisor, whose default deadlines are others.
func (k *core) nest(c *child, gen uint64, sub *Supervisor) {
	if c.gen != gen || (c.state != Starting && c.state != Running && c.state != Stopping) {
		return
	}
	c.nested = true
	c.extra().sub = sub
	if c.state == Starting && c.startTimeout() == Infinity || c.state == Stopping && c.shutdown() == Infinity {
		k.do(actDisarm, c, nil)
	}
}

func (k *core) started(c *child, gen uint64, err error) {
	if c.gen != gen || c.up || (c.state != Starting && c.state != Stopping) {
		k.out = append(k.out, action{kind: actLateStart, c: c, gen: gen, err: err})
		return
	}
	if err != nil {
		k.ended(c, err)
		return
	}
	c.up = true
	if c.state == Starting {
		k.do(actDisarm, c, nil)
		k.settled(c)
	} else if !c.early {
		// It was asked to stop while its Start was running. Only now can it hear that.
		k.do(actStop, c, c.stopReason(k))
	}
	if c.early {
		k.ended(c, c.rare.early)
	}
}

func (k *core) settled(c *child) {
	c.state, c.since, c.fresh, c.revived = Running, k.at, false, false
	if !k.grouped() || k.stage == steady {
		k.recovered(c)
	}
	if k.turn == c {
		k.turn = nil
	}
	c.told = true
	k.note(Started, c, nil, 0)
	k.answerStart(c, nil)
}

// recovered says that the trouble is over that began when c failed.
func (k *core) recovered(c *child) {
	if c.recovering {
		c.recovering = false
		c.rare.meter.settle(k.at)
		k.meter.settle(k.at)
	}
}

func (k *core) exited(c *child, gen uint64, err error) {
	switch {
	case c.gen != gen || (c.state != Starting && c.state != Running && c.state != Stopping):
		k.out = append(k.out, action{kind: actLateExit, c: c, gen: gen, err: err})
	case c.spec.Process != nil && !c.up:
		// Its Start is still running on a goroutine that must not be lost sight of.
		if !c.early {
			c.early = true
			c.extra().early = err
		}
	default:
		k.ended(c, err)
	}
}

func (k *core) fired(c *child, gen uint64, timer timerKind) {
	if c.gen != gen {
		return
	}
	switch {
	case timer == timerStart && c.state == Starting:
		c.extra().reason = &Error{Code: CodeStartTimeout}
		k.quit(c, thenFail, c.rare.reason)
	case timer == timerStop && c.state == Stopping:
		k.abandon(c, c.stopReason(k))
	case timer == timerRestart && c.state == BackingOff && k.state != Stopping:
		if c.state = Idle; !k.grouped() {
			k.start(c)
		}
	}
}

// quit asks a child to stop. One that has no incarnation is dropped, put down, or started, at once.
func (k *core) quit(c *child, then next, reason error) {
	switch c.state {
	case Idle, BackingOff, Down:
		backingOff := c.state == BackingOff
		if backingOff {
			k.do(actDisarm, c, nil)
		}
		if then == thenStart {
			c.revived = c.state == Down
			k.start(c)
			return
		}
		if backingOff {
			k.note(Cancelled, c, nil, 0)
		}
		if then == thenDown {
			k.down(c, terminated(c))
			return
		}
		k.drop(c, terminated(c))
	case Stopping:
		if c.then != thenDrop {
			c.then = then
		}
	case Starting, Running:
		k.do(actDisarm, c, nil)
		c.state, c.then = Stopping, then
		if c.shutdown() == Kill {
			k.abandon(c, reason)
			return
		}
		k.do(actStop, c, reason)
		k.arm(c, timerStop, c.shutdown())
	}
}

// stopReason says why a child that is stopping has to.
func (c *child) stopReason(k *core) error {
	switch {
	case c.then == thenStart:
		return ErrRestarted
	case c.then == thenFail:
		return c.rare.reason
	case k.state == Stopping:
		return k.cause
	case c.then == thenWait:
		return k.why
	}
	return ErrTerminated
}

func (k *core) abandon(c *child, reason error) {
	k.do(actAbandon, c, reason)
	if c.early {
		early := c.rare.early
		k.out[len(k.out)-1].early = &early
	}
	if c.shutdown() == Kill {
		k.stopped(c, nil) // as it was wished
		return
	}
	k.stopped(c, &Error{Code: CodeAbandoned, Child: c.spec.ID})
}

// ended takes the end of the present incarnation: how it goes on depends on what was asked, or on the restart type.
func (k *core) ended(c *child, err error) {
	k.do(actDisarm, c, nil)
	switch {
	case c.state == Stopping:
		if c.then != thenFail {
			if asked(err) {
				err = nil
			}
			k.noteStop(c, err)
		}
		k.stopped(c, nil)
	case k.stage == clearing && k.leads(k.group, c):
		// Its turn to stop would have come: what one failure has brought down is one failure.
		c.then = thenWait
		k.noteStop(c, err)
		k.stopped(c, nil)
	case !c.up:
		if err == nil {
			err = ErrEnded
		}
		k.startFailed(c, err)
	case k.state == Stopping:
		k.note(Ended, c, err, 0)
		k.drop(c, terminated(c))
	case c.spec.Restart == Temporary, c.spec.Restart == Transient && err == nil:
		k.note(Ended, c, err, 0)
		k.retire(c, terminated(c))
		k.autoShutdown(c)
	default:
		if err == nil {
			err = ErrEnded
		}
		k.failed(c, err)
	}
}

// noteStop tells that c has ended because it had to. Who was never told that it is up is not told that it stopped.
func (k *core) noteStop(c *child, err error) {
	note := Stopped
	if !c.told {
		note = Cancelled
	}
	k.note(note, c, err, 0)
}

// stopped takes the end of an incarnation that was asked to stop. end is what those hear who wait for that.
func (k *core) stopped(c *child, end error) {
	k.answerStop(c, end)
	switch {
	case k.state == Stopping || c.then == thenDrop:
		why := terminated(c)
		if c.then == thenFail {
			why = c.startError(c.rare.reason)
		}
		k.drop(c, why)
	case c.then == thenDown, c.then == thenWait && c.spec.Restart == Temporary:
		k.retire(c, terminated(c))
	case c.then == thenWait:
		c.state = Idle
	case c.then == thenStart:
		k.start(c)
	case c.then == thenFail:
		k.startFailed(c, c.rare.reason)
	}
}

func (c *child) startError(err error) error {
	return &Error{Code: CodeStartFailed, Child: c.spec.ID, Err: err}
}

// startFailed: a child that was never up fails whoever asked for it, one that was up spends its budget.
func (k *core) startFailed(c *child, err error) {
	full := c.startError(err)
	switch {
	case k.state == Stopping:
		k.note(Ended, c, err, 0)
		k.drop(c, full)
	case c.revived:
		k.note(Ended, c, full, 0)
		k.retire(c, full)
	case c.fresh && c.static && k.state == Starting:
		k.note(GaveUp, c, full, 0)
		k.drop(c, full)
		k.shutdown(full, full)
	case c.fresh && !c.static:
		k.note(Ended, c, full, 0)
		k.drop(c, full)
	case c.spec.Restart == Temporary:
		k.giveUp(c, full)
	default:
		k.answerStart(c, full)
		k.failed(c, full)
	}
}

// giveUp removes a child without an end of the supervisor.
func (k *core) giveUp(c *child, err error) {
	k.note(GaveUp, c, err, 0)
	k.do(actGiveUp, c, err)
	k.drop(c, err)
	k.autoShutdown(c)
}

// failed counts a failure, and restarts the child or its group, or gives up.
func (k *core) failed(c *child, err error) {
	r := c.extra()
	r.reason, r.failedAt = err, k.at
	streak := r.meter.fail(k.at, k.budget.Within, c.recovering)
	spent := k.meter.fail(k.at, k.budget.Within, c.recovering)
	c.recovering = true
	switch {
	case k.perChild:
		spent = streak
	case k.grouped():
		streak = spent // they fail, and come back, together
	}
	if k.budget.Failures >= 0 && spent > k.budget.Failures {
		full := &Error{Code: CodeBudgetExceeded, Child: c.spec.ID, Err: err}
		if k.perChild {
			k.giveUp(c, full)
			return
		}
		k.note(GaveUp, c, full, 0)
		k.drop(c, full)
		k.shutdown(full, full)
		return
	}
	delay := k.backoff.delay(streak, k.random)
	k.note(Failed, c, err, delay)
	c.restarts++
	k.restarts++
	c.state = Idle
	if delay > 0 {
		c.state = BackingOff
		k.arm(c, timerRestart, delay)
	}
	switch {
	case k.grouped():
		k.regroup(c, err)
	case c.state == Idle:
		k.start(c)
	}
}

func (k *core) terminate(c *child, w *waiter) {
	if c == nil {
		k.reply(w, ErrNotFound)
		return
	}
	w.stop = true
	c.enqueue(w)
	then := thenDrop
	if k.keeps(c) {
		then = thenDown
	}
	k.quit(c, then, ErrTerminated)
}

func (k *core) restart(c *child, w *waiter) {
	switch {
	case k.state == Stopping:
		k.reply(w, ErrNotRunning)
		return
	case c == nil || (c.state == Stopping && c.then == thenDrop):
		k.reply(w, ErrNotFound)
		return
	}
	c.enqueue(w)
	if !k.due(c) {
		k.quit(c, thenStart, ErrRestarted)
		return
	}
	switch c.state {
	case BackingOff:
		k.do(actDisarm, c, nil)
		c.state = Idle
	case Down:
		c.state = Idle
	case Stopping:
		c.then = thenWait
	}
}

// forget removes a child that is down.
func (k *core) forget(c *child, id string, w *waiter) {
	switch {
	case k.state == Stopping:
		k.reply(w, ErrNotRunning)
	case c == nil:
		k.reply(w, ErrNotFound)
	case c.state != Down:
		k.reply(w, &Error{Code: CodeRunning, Child: id})
	default:
		k.drop(c, nil)
		k.reply(w, nil)
	}
}

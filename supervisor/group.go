package supervisor

// The part of the core that starts and stops children in their order.

// A stage is where a supervisor is in the start of its children, or in the restart of a group of them: the children
// from a failed one on, or all. The group is cleared, from the last to the first, before any of it is started.
type stage uint8

const (
	steady   stage = iota
	clearing       // the children from group on are being stopped, or a back-off is not over
	starting       // the idle children from cursor on are being started
)

// grouped reports whether children are restarted together.
func (k *core) grouped() bool { return k.strategy == OneForAll || k.strategy == RestForOne }

// leads reports whether c is from or comes after it.
func (k *core) leads(from, c *child) bool {
	if from != nil && from == k.first {
		return true
	}
	for ; from != nil; from = from.next {
		if from == c {
			return true
		}
	}
	return false
}

// due reports whether c will be started, once it is idle, without further ado.
func (k *core) due(c *child) bool {
	switch k.stage {
	case clearing:
		return k.leads(k.group, c)
	case starting:
		return (c.state == Idle || c.state == Down) && c != k.turn && k.leads(k.cursor, c)
	}
	return false
}

// regroup begins the restart of the group of c, which has failed. What is in the group of a restart under way stays
// in it.
func (k *core) regroup(c *child, err error) {
	head := c
	switch {
	case k.strategy == OneForAll:
		head = k.first
	case k.stage == clearing && k.leads(k.group, c):
		head = k.group
	case k.stage == starting && k.leads(k.cursor, c):
		head = k.cursor
	}
	k.stage, k.group, k.cursor, k.turn = clearing, head, nil, nil
	k.why = &Error{Code: CodeRestarted, Child: c.spec.ID, Err: err}
	for m := head; m != nil; m = m.next {
		switch {
		case m.state == Down:
			m.state = Idle
		case m.state == Stopping && (m.then == thenStart || m.then == thenFail):
			m.then = thenWait
		}
	}
}

// clearGroup asks the last child of the group that runs to stop, and when none does and no back-off is left has them
// started.
func (k *core) clearGroup() {
	for m := k.last; m != nil && k.group != nil; {
		before, head := m.prev, m == k.group
		if m.state == Starting || m.state == Running {
			k.quit(m, thenWait, k.why)
		}
		if m.state == Stopping {
			return
		}
		if head {
			break
		}
		m = before
	}
	for m := k.group; m != nil; m = m.next {
		if m.state == BackingOff {
			return
		}
	}
	k.stage, k.cursor, k.group = starting, k.group, nil
}

// startNext starts the next idle child when the one before is up.
func (k *core) startNext() {
	if k.turn != nil {
		return
	}
	for k.cursor != nil && k.cursor.state != Idle {
		k.cursor = k.cursor.next
	}
	if k.cursor != nil {
		k.turn = k.cursor
		k.start(k.turn)
		return
	}
	k.stage = steady
	if k.grouped() {
		for c := k.first; c != nil; c = c.next {
			if c.state == Running {
				k.recovered(c)
			}
		}
	}
	if k.state == Starting {
		k.state = Running
		k.out = append(k.out, action{kind: actReady})
	}
}

// autoShutdown shuts the supervisor down if that is due because c, a significant child, has ended by itself.
func (k *core) autoShutdown(c *child) {
	if !c.spec.Significant || k.auto == Never {
		return
	}
	if k.auto == AllSignificant {
		for other := k.first; other != nil; other = other.next {
			if other.spec.Significant && other.state != Down {
				return
			}
		}
	}
	k.shutdown(nil, &Error{Code: CodeAutoShutdown, Child: c.spec.ID})
}

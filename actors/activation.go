package actors

// run is one activation of a mailbox: it handles what there is and returns when
// the lanes are empty.
func (m *mailbox[M]) run() {
	finished := false
	defer func() {
		if !finished { // runtime.Goexit in user code unwound us: go on elsewhere
			m.owner.schedule()
		}
	}()
	yields := m.owner.p.sys.dispatcher.yields()
	for {
		more, quiet := false, false
		for !m.urgent.Load() {
			v, ok := m.claim()
			if !ok {
				break
			}
			m.worked = true
			m.owner.handle(v)
			if more = yields; more {
				break
			}
		}
		if !more {
			more, quiet = m.take()
		}
		switch {
		case quiet:
			finished = true
			return
		case !more && m.worked:
			m.worked = false
			m.owner.idle()
		case yields:
			finished = true
			m.owner.schedule()
			return
		}
	}
}

// claim takes the next message of the batch. Others claim what is left of it
// when the task is held up in user code.
func (m *mailbox[M]) claim() (v M, ok bool) {
	if int(m.next.Load()) >= len(m.out) {
		return v, false
	}
	i := int(m.next.Add(1)) - 1
	if i >= len(m.out) {
		return v, false
	}
	var zero M
	v, m.out[i] = m.out[i], zero
	return v, true
}

// take handles one urgent message or fetches the next batch. more says that
// there is work; quiet, that there was none and the task has ended.
func (m *mailbox[M]) take() (more, quiet bool) {
	m.mu.Lock()
	if v, ok := m.takeSystem(); ok {
		m.attend()
		m.mu.Unlock()
		m.owner.system(v)
		return true, false
	}
	if m.closed {
		m.out, m.lanes, m.active = nil, nil, false
		m.mu.Unlock()
		return false, true
	}
	if m.suspended {
		m.active = false
		m.mu.Unlock()
		return false, true
	}
	if m.lanes != nil {
		if v, ok := m.lanes.ctl.Pop(); ok {
			m.attend()
			m.mu.Unlock()
			m.worked = true
			m.owner.handle(v)
			return true, false
		}
	}
	m.attend()
	if m.rest() > 0 {
		m.mu.Unlock()
		return true, false
	}
	if len(m.in) > 0 {
		m.in, m.out = m.out[:0], m.in
		m.next.Store(0)
		m.freeRoom()
		m.mu.Unlock()
		return true, false
	}
	if m.worked && m.owner.idles {
		m.mu.Unlock()
		return false, false // let the idle hook run before we leave
	}
	m.worked = false
	m.release()
	m.active = false
	m.mu.Unlock()
	return false, true
}

func (m *mailbox[M]) takeSystem() (v any, ok bool) {
	l := m.lanes
	if l == nil || len(l.sys) == 0 {
		return nil, false
	}
	v, l.sys[0] = l.sys[0], nil
	if l.sys = l.sys[1:]; len(l.sys) == 0 {
		l.sys = nil
	}
	return v, true
}

// release gives the memory of a burst back.
func (m *mailbox[M]) release() {
	if m.lanes != nil && !m.lanes.control {
		m.lanes = nil
	}
	if cap(m.in) > keepBatch {
		m.in = nil
	}
	if cap(m.out) > keepBatch {
		m.out = nil
	}
	m.out = m.out[:0]
	m.next.Store(0)
}

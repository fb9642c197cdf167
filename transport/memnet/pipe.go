package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

var errEOF = io.EOF

// segment is data on the way, with the time at which it arrives.
type segment struct {
	at   time.Time
	data []byte
}

// pipe is one direction of a connection.
type pipe struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next change; nil when nobody waits
	queue   []segment
	size    int
	limit   int
	latency time.Duration
	frozen  bool
	ended   bool // the writing end is closed: the end of the stream follows
	endAt   time.Time
	deaf    bool  // the reading end is closed
	err     error // reset
	readBy  time.Time
	writeBy time.Time
}

func newPipe(limit int, latency time.Duration) *pipe { return &pipe{limit: limit, latency: latency} }

// notify wakes those who wait. mu is held.
func (p *pipe) notify() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// update changes the pipe and wakes those who wait.
func (p *pipe) update(change func()) {
	p.mu.Lock()
	change()
	p.notify()
	p.mu.Unlock()
}

// wait waits for a change, or until the earliest of the given times that is set.
// mu is held on entry and on return.
func (p *pipe) wait(times ...time.Time) {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	changed := p.changed
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	p.mu.Unlock()
	defer p.mu.Lock()
	if first.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(first))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		var arrival time.Time
		switch {
		case p.deaf:
			return 0, net.ErrClosed
		case p.err != nil:
			return 0, p.err
		case passed(p.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case p.frozen:
		case len(p.queue) > 0:
			if arrival = p.queue[0].at; passed(arrival) {
				return p.drain(b), nil
			}
		case p.ended:
			if arrival = p.endAt; passed(arrival) {
				return 0, errEOF
			}
		}
		p.wait(arrival, p.readBy)
	}
}

// drain copies what has arrived to b.
func (p *pipe) drain(b []byte) int {
	n := 0
	for n < len(b) && len(p.queue) > 0 && passed(p.queue[0].at) {
		k := copy(b[n:], p.queue[0].data)
		n += k
		if p.queue[0].data = p.queue[0].data[k:]; len(p.queue[0].data) == 0 {
			p.queue[0] = segment{}
			p.queue = p.queue[1:]
		}
	}
	p.size -= n
	p.notify()
	return n
}

func (p *pipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := 0
	for {
		switch {
		case p.ended:
			return done, net.ErrClosed
		case p.err != nil:
			return done, p.err
		case p.deaf && !p.frozen: // while frozen the news does not get through
			return done, syscall.EPIPE
		case passed(p.writeBy):
			return done, os.ErrDeadlineExceeded
		case done == len(b):
			return done, nil
		}
		if n := min(p.limit-p.size, len(b)-done); n > 0 {
			data := append([]byte(nil), b[done:done+n]...)
			p.queue = append(p.queue, segment{time.Now().Add(p.latency), data})
			p.size += n
			done += n
			p.notify()
			continue
		}
		p.wait(p.writeBy)
	}
}

func (p *pipe) closeRead() {
	p.update(func() {
		p.deaf = true
		p.queue, p.size = nil, 0
	})
}

func (p *pipe) closeWrite() {
	p.update(func() {
		if !p.ended {
			p.ended = true
			p.endAt = time.Now().Add(p.latency)
		}
	})
}

func (p *pipe) reset() {
	p.update(func() {
		if p.err == nil {
			p.err = syscall.ECONNRESET
		}
		p.queue, p.size = nil, 0
	})
}

func (p *pipe) freeze(on bool)               { p.update(func() { p.frozen = on }) }
func (p *pipe) setLatency(d time.Duration)   { p.update(func() { p.latency = d }) }
func (p *pipe) setReadDeadline(t time.Time)  { p.update(func() { p.readBy = t }) }
func (p *pipe) setWriteDeadline(t time.Time) { p.update(func() { p.writeBy = t }) }

// over reports whether neither end has anything more to do with the pipe.
func (p *pipe) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended && p.deaf || p.err != nil
}

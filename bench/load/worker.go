package load

import (
	"fmt"
	"sync/atomic"
	"time"
)

// slot is one of the requests that a channel has under way.
type slot struct {
	number uint64 // 0: none
	sent   time.Time
}

// worker keeps one channel busy from one goroutine.
type worker struct {
	*channel
	shared   *steadyRun
	text     string
	slots    []slot
	underway int
	quota    uint64 // requests still to be sent, when they are counted
	checked  bool   // the first reply has been decoded in full
	latency  histogram
	failed   uint64
	err      error // the first
	// answered is read by others, and far from what they write.
	_        [64]byte
	answered atomic.Uint64
	_        [64]byte
}

func newWorker(r *steadyRun, c *channel, text string, index int) *worker {
	w := &worker{channel: c, shared: r, text: text, slots: make([]slot, r.opts.InFlight)}
	n := uint64(r.opts.Channels)
	w.quota = r.opts.Requests / n
	if uint64(index) < r.opts.Requests%n {
		w.quota++
	}
	return w
}

func (w *worker) run() {
	if err := w.loop(); err != nil {
		w.fail(err)
	}
}

func (w *worker) fail(err error) {
	w.failed++
	if w.err == nil {
		w.err = err
	}
}

// loop returns when the last request has been answered.
func (w *worker) loop() error {
	now := time.Now()
	for i := range w.slots {
		if err := w.send(i, now); err != nil {
			return err
		}
	}
	for {
		if err := w.flush(); err != nil {
			return err
		}
		if w.underway == 0 {
			return nil
		}
		if err := w.fill(); err != nil {
			return fmt.Errorf("waiting for %d replies: %w", w.underway, err)
		}
		// One reading of the clock for all that came together.
		now = time.Now()
		recording := w.shared.recording.Load()
		for {
			payload, err := w.next()
			if err != nil {
				return err
			}
			if payload == nil {
				break
			}
			if err := w.reply(payload, now, recording); err != nil {
				return err
			}
		}
	}
}

// send puts the next request into a slot, if there is one to send.
func (w *worker) send(i int, now time.Time) error {
	counted := w.shared.opts.Requests > 0
	if counted && w.quota == 0 || !counted && w.shared.stopping.Load() {
		return nil
	}
	if counted {
		w.quota--
	}
	w.slots[i] = slot{number: w.push(i, w.request), sent: now}
	w.underway++
	if w.shared.opts.WriteEach {
		return w.flush()
	}
	return nil
}

func (w *worker) reply(payload []byte, now time.Time, recording bool) error {
	i, number, err := w.replyTo(payload)
	if err != nil {
		return fmt.Errorf("%w: %.200s", err, payload)
	}
	if i >= len(w.slots) || number == 0 || w.slots[i].number != number {
		return fmt.Errorf("reply to a request that is not under way: %.200s", payload)
	}
	if !w.checked {
		w.checked = true
		if err := checkEcho(payload, w.text); err != nil {
			return err
		}
	}
	if recording {
		w.latency.add(now.Sub(w.slots[i].sent))
	}
	w.slots[i] = slot{}
	w.underway--
	if hasType(payload, "response") && len(payload) > len(w.text) {
		w.answered.Add(1)
	} else {
		w.fail(fmt.Errorf("answered with something else: %.200s", payload))
	}
	return w.send(i, now)
}

package load

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/pando-agents/pando/bench/internal/proc"
)

// Report is what Steady and Open have measured. All but Errors concerns the
// measured window only. For Open, a request is one channel opened.
type Report struct {
	Channels     int     `json:"channels"`
	InFlight     int     `json:"in_flight,omitempty"`
	PayloadBytes int     `json:"payload_bytes,omitempty"`
	Requests     uint64  `json:"requests"`
	Seconds      float64 `json:"seconds"`
	PerSecond    float64 `json:"rps"`
	P50          float64 `json:"p50_us"`
	P99          float64 `json:"p99_us"`
	// ServerCPU is the processor time of the server per request in
	// microseconds; 0 when its process is not known.
	ServerCPU float64 `json:"server_cpu_us_per_request"`
	// ClientCPU is the same of this process.
	ClientCPU float64 `json:"client_cpu_us_per_request"`
	// Errors counts error answers and channels that broke, at any time.
	Errors     uint64 `json:"errors"`
	FirstError string `json:"first_error,omitempty"`
}

// sample is the state of the counters at one moment.
type sample struct {
	at             time.Time
	requests       uint64
	server, client time.Duration
}

func takeSample(requests uint64, pids ...int) (sample, error) {
	s := sample{at: time.Now(), requests: requests}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return s, fmt.Errorf("reading own processor time: %w", err)
	}
	s.client = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	for _, pid := range pids {
		if pid == 0 {
			continue
		}
		used, err := proc.CPU(pid)
		if err != nil {
			return s, err
		}
		s.server += used
	}
	return s, nil
}

// fillWindow sets the fields that follow from two samples and the latencies
// between them.
func (r *Report) fillWindow(from, to sample, latency *histogram) {
	r.Requests = to.requests - from.requests
	r.Seconds = to.at.Sub(from.at).Seconds()
	r.P50 = micros(latency.quantile(0.50))
	r.P99 = micros(latency.quantile(0.99))
	if r.Requests > 0 {
		n := float64(r.Requests)
		r.PerSecond = n / r.Seconds
		r.ServerCPU = micros(to.server-from.server) / n
		r.ClientCPU = micros(to.client-from.client) / n
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// addErrors counts n failures and keeps the text of the first.
func (r *Report) addErrors(n uint64, first error) {
	r.Errors += n
	if r.FirstError == "" && first != nil {
		r.FirstError = first.Error()
	}
}

// Err returns an error when not everything went well.
func (r *Report) Err() error {
	if r.Errors > 0 {
		return fmt.Errorf("%d errors, the first: %s", r.Errors, r.FirstError)
	}
	if r.Requests == 0 {
		return errors.New("no request was answered in the measured time")
	}
	return nil
}

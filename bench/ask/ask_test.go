package ask

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pando-agents/pando/bench/load"
)

func options(actors int) Options {
	return Options{Actors: actors, Payload: 100, CallOptions: load.CallOptions{InFlight: 1, Window: 200 * time.Millisecond}}
}

func TestAnswersAreCountedAndTimed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := Run(t.Context(), options(1), &out, func(_ context.Context, number int, text string) (string, error) {
		if number != 0 || len(text) != 100 {
			t.Errorf("actor %d is asked for %d bytes", number, len(text))
		}
		return text, nil
	})
	var r load.Report
	if err := errors.Join(err, json.Unmarshal(out.Bytes(), &r)); err != nil {
		t.Fatal(err)
	}
	if r.Requests == 0 || r.P50 <= 0 || r.PayloadBytes != 100 {
		t.Errorf("report %+v", r)
	}
}

func TestAFanOutAsksEveryActorOnceAndWaitsForAll(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[int]int{}
	err := Run(t.Context(), options(10), new(bytes.Buffer), func(_ context.Context, number int, text string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[number]++
		return text, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if asked[i] == 0 || asked[i] != asked[0] {
			t.Errorf("actor %d was asked %d times, the first %d times", i, asked[i], asked[0])
		}
	}
}

func TestAnswerThatIsNotWhatWasAskedIsAnError(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]Call{
		errOther.Error(): func(context.Context, int, string) (string, error) { return "something else", nil },
		"no answer":      func(context.Context, int, string) (string, error) { return "", errors.New("no answer") },
	} {
		if err := Run(t.Context(), options(3), new(bytes.Buffer), call); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want %s", err, name)
		}
	}
}

func TestFlagsOfCallersAreRead(t *testing.T) {
	t.Parallel()
	o, err := Parse("call-x", []string{"--url", "u", "--target", "a", "--credentials", "c", "--pids", "1,22", "--in-flight", "3", "--actors", "4", "--window", "2s"})
	if err != nil || o.URL != "u" || o.Target != "a" || o.Credentials != "c" || len(o.PIDs) != 2 || o.PIDs[1] != 22 ||
		o.InFlight != 3 || o.Actors != 4 || o.Window != 2*time.Second || o.Payload != 128 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range [][]string{{"--actors", "0"}, {"--pids", "x"}, {"more"}} {
		if _, err := Parse("call-x", args); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

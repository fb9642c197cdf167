package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/pando-agents/pando/bench/load"
)

// TestMain lets this test program stand for the real one, which starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestOneAndAThousandAreAskedOverTheServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"serve-nats", "--addr", "127.0.0.1:0"}, nil, w) }()
	var ready struct {
		URL  string
		PIDs []int
	}
	line, err := bufio.NewReader(r).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil || len(ready.PIDs) != 1 {
		t.Fatalf("%s: %v", line, err)
	}
	for _, count := range []string{"1", "1000"} {
		var out bytes.Buffer
		args := []string{"call-nats", "--url", ready.URL, "--actors", count, "--warmup", "0s", "--window", "1s"}
		if err := run(ctx, args, nil, &out); err != nil {
			t.Fatal(err)
		}
		var report load.Report
		if err := json.Unmarshal(out.Bytes(), &report); err != nil || report.Requests == 0 {
			t.Errorf("%s: %v", out.Bytes(), err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

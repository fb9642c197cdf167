// Command nats is NATS request-reply for the comparison of ../README.md: a server,
// a process that answers and one that asks. It is a program of its own so that
// the servers that Pando is measured against in other cases do not carry it.
//
//	nats serve-nats
//	nats call-nats --url nats://127.0.0.1:PORT
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/pando-agents/pando/bench/ask"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "nats:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) == 0 {
		return errors.New("say which command: serve-nats, respond URL, call-nats")
	}
	switch command, rest := args[0], args[1:]; command {
	case "serve-nats":
		return serve(ctx, rest, stdout)
	case "respond":
		return respond(rest, stdin, stdout)
	case "call-nats":
		return call(ctx, rest, stdout)
	default:
		return fmt.Errorf("no command %s", command)
	}
}

// actors is how many subjects are answered.
const actors = 1000

// serve runs the server until ctx is done, and the process that answers. It says
// where it listens in one line of JSON.
func serve(ctx context.Context, args []string, stdout io.Writer) error {
	host, port := "127.0.0.1", server.RANDOM_PORT
	if len(args) == 2 && args[0] == "--addr" {
		h, p, err := net.SplitHostPort(args[1])
		if err != nil {
			return err
		}
		if n, err := strconv.Atoi(p); err != nil {
			return err
		} else if n != 0 {
			port = n
		}
		host = h
	}
	srv, err := server.NewServer(&server.Options{Host: host, Port: port, NoLog: true, NoSigs: true})
	if err != nil {
		return err
	}
	go srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(10 * time.Second) {
		return errors.New("the server does not listen")
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe, "respond", srv.ClientURL())
	cmd.Stderr = os.Stderr
	stdin, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		return err
	}
	defer func() {
		_ = stdin.Close() // it leaves then
		_ = cmd.Wait()
	}()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return fmt.Errorf("waiting for the process that answers: %w", err)
	}
	ready := map[string]any{"url": srv.ClientURL(), "pids": []int{cmd.Process.Pid}}
	if err := json.NewEncoder(stdout).Encode(ready); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// respond answers until standard input ends.
func respond(args []string, stdin io.Reader, stdout io.Writer) error {
	// An interrupt at the terminal reaches all processes: the server decides.
	signal.Ignore(os.Interrupt)
	if len(args) != 1 {
		return errors.New("respond needs the URL of the server")
	}
	conn, err := nats.Connect(args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	for i := range actors {
		_, err := conn.Subscribe(ask.Name(i), func(m *nats.Msg) {
			var in ask.Text
			if json.Unmarshal(m.Data, &in) != nil {
				return
			}
			if out, err := json.Marshal(in); err == nil {
				_ = m.Respond(out)
			}
		})
		if err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "ready")
	_, _ = io.Copy(io.Discard, stdin)
	return nil
}

func call(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := ask.Parse("call-nats", args)
	if err != nil {
		return err
	}
	conn, err := nats.Connect(o.URL)
	if err != nil {
		return err
	}
	defer conn.Close()
	return ask.Run(ctx, o, stdout, func(ctx context.Context, number int, text string) (string, error) {
		data, err := json.Marshal(ask.Text{Text: text})
		if err != nil {
			return "", err
		}
		m, err := conn.RequestWithContext(ctx, ask.Name(number), data)
		if err != nil {
			return "", err
		}
		var out ask.Text
		err = json.Unmarshal(m.Data, &out)
		return out.Text, err
	})
}

// Command portproxy lets a program that looks for an identity registry at
// https://localhost, on port 443, find one that listens elsewhere. It is an HTTP
// proxy (CONNECT, RFC 9110 §9.3.6) that leads to this one place only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "portproxy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("portproxy", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8480", "address to listen on")
	from := flags.String("from", "localhost:443", "what programs ask for")
	to := flags.String("to", "127.0.0.1:8443", "where they get to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "set HTTPS_PROXY=http://%s\n", listener.Addr())
	server := &http.Server{Handler: proxy(*from, *to), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func proxy(from, to string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != from {
			http.Error(w, "this proxy leads to "+from+" only", http.StatusForbidden)
			return
		}
		target, err := new(net.Dialer).DialContext(r.Context(), "tcp", to)
		if err != nil {
			http.Error(w, "nobody answers at "+to, http.StatusBadGateway)
			return
		}
		defer target.Close()
		client, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, "cannot tunnel", http.StatusInternalServerError)
			return
		}
		defer client.Close()
		if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
			return
		}
		var back sync.WaitGroup
		back.Go(func() {
			_, _ = io.Copy(client, target)
			_ = client.Close()
		})
		// net/http may have read ahead of the answer.
		_, _ = io.Copy(target, buffered.Reader)
		_ = target.Close()
		back.Wait()
	})
}

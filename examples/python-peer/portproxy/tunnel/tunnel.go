// Package tunnel is the proxy that leads programs which know only one place to
// where it really is.
package tunnel

import (
	"io"
	"net"
	"net/http"
	"sync"
)

// To returns an HTTP proxy (CONNECT, RFC 9110 §9.3.6) for connections to from,
// which lead to the TCP address to. It leads to no other place.
func To(from, to string) http.Handler {
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

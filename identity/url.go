package identity

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURL bounds a URL, as it comes and in its normal form.
const maxURL = 4096

// normalizeURL brings a URL into the form in which htu values are compared
// (RFC 9449 §4.3 with RFC 3986 §6.2): ws and wss as http and https, scheme and
// host in lower case, no default port, no query, no fragment, percent-encoding
// and dot segments resolved. A port written twice, which the Python SDK does,
// counts once. User information is refused.
func normalizeURL(raw string) (string, error) {
	if len(raw) > maxURL {
		return "", fmt.Errorf("url longer than %d bytes", maxURL)
	}
	u, err := url.Parse(collapsePort(raw))
	if err != nil {
		// The parser's error quotes the whole text, which a stranger wrote.
		return "", fmt.Errorf("not a url")
	}
	scheme, defaultPort := "https", "443"
	switch u.Scheme { // url.Parse has lowered it
	case "http", "ws":
		scheme, defaultPort = "http", "80"
	case "https", "wss":
	default:
		return "", fmt.Errorf("the scheme is not one of http, https, ws, wss")
	}
	if u.User != nil || u.Opaque != "" {
		return "", fmt.Errorf("user information or no authority in url")
	}
	host, err := normalizeHost(u.Host, u.Hostname())
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "", fmt.Errorf("bad port in url")
		}
		port = strconv.FormatUint(n, 10)
	}
	if port != "" && port != defaultPort {
		host += ":" + port
	}
	url := scheme + "://" + host + normalizePath(u.EscapedPath())
	if len(url) > maxURL { // escaping has made it longer
		return "", fmt.Errorf("url longer than %d bytes", maxURL)
	}
	return url, nil
}

func normalizeHost(authority, host string) (string, error) {
	if host == "" || strings.ContainsAny(host, "% ") {
		return "", fmt.Errorf("bad host in url")
	}
	if !strings.HasPrefix(authority, "[") {
		if strings.Contains(host, ":") {
			return "", fmt.Errorf("bad host in url")
		}
		return strings.ToLower(host), nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Is6() {
		return "", fmt.Errorf("bad ip literal in url")
	}
	return "[" + ip.String() + "]", nil
}

// collapsePort turns host:port:port into host:port when both are the same.
// net/url would not parse it.
func collapsePort(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return raw
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	bracket := strings.LastIndexByte(authority, ']') + 1
	host, ports, ok := strings.Cut(authority[bracket:], ":")
	if !ok {
		return raw
	}
	first, more, ok := strings.Cut(ports, ":")
	if !ok || first == "" || more != first {
		return raw
	}
	return scheme + "://" + authority[:bracket] + host + ":" + first + tail
}

func normalizePath(escaped string) string {
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c == '%' && i+2 < len(escaped) {
			if n, err := strconv.ParseUint(escaped[i+1:i+3], 16, 8); err == nil {
				if isUnreserved(byte(n)) {
					b.WriteByte(byte(n))
				} else {
					b.WriteString(strings.ToUpper(escaped[i : i+3]))
				}
				i += 2
				continue
			}
		}
		b.WriteByte(c)
	}
	return removeDotSegments(b.String())
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func removeDotSegments(path string) string {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var out []string
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == ".." && len(out) > 0:
			out = out[:len(out)-1]
		case s != "." && s != "..":
			out = append(out, s)
			continue
		}
		if last {
			out = append(out, "") // "/a/." is "/a/"
		}
	}
	return "/" + strings.Join(out, "/")
}

package protocol

import (
	"strconv"
	"time"
)

// AppendTimestamp appends t as meta.timestamp is written, which is how Python
// writes it: 2026-03-01T09:30:00.123456+00:00, in UTC, cut to microseconds, the
// fraction left out when it is 0, the offset never "Z".
func AppendTimestamp(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	if 0 <= year && year <= 9999 {
		dst = appendDigits(dst, year, 4)
	} else {
		dst = strconv.AppendInt(dst, int64(year), 10)
	}
	dst = appendDigits(append(dst, '-'), int(month), 2)
	dst = appendDigits(append(dst, '-'), day, 2)
	dst = appendDigits(append(dst, 'T'), hour, 2)
	dst = appendDigits(append(dst, ':'), minute, 2)
	dst = appendDigits(append(dst, ':'), second, 2)
	if micro := t.Nanosecond() / 1000; micro != 0 {
		dst = appendDigits(append(dst, '.'), micro, 6)
	}
	return append(dst, "+00:00"...)
}

// FormatTimestamp returns what AppendTimestamp appends.
func FormatTimestamp(t time.Time) string {
	var buf [40]byte
	return string(AppendTimestamp(buf[:0], t))
}

// appendDigits appends n, which is not negative, with leading zeros.
func appendDigits(dst []byte, n, width int) []byte {
	var buf [6]byte
	for i := width - 1; i >= 0; i-- {
		buf[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, buf[:width]...)
}

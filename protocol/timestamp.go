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
		dst = append2(append2(dst, year/100), year%100)
	} else {
		dst = strconv.AppendInt(dst, int64(year), 10)
	}
	dst = append2(append(dst, '-'), int(month))
	dst = append2(append(dst, '-'), day)
	dst = append2(append(dst, 'T'), hour)
	dst = append2(append(dst, ':'), minute)
	dst = append2(append(dst, ':'), second)
	if micro := t.Nanosecond() / 1000; micro != 0 {
		dst = append2(append(dst, '.'), micro/10000)
		dst = append2(append2(dst, micro/100%100), micro%100)
	}
	return append(dst, "+00:00"...)
}

// FormatTimestamp returns what AppendTimestamp appends.
func FormatTimestamp(t time.Time) string {
	var buf [40]byte
	return string(AppendTimestamp(buf[:0], t))
}

// append2 appends n, which is below 100, with two digits.
func append2(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}

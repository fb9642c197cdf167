package protocol

// Limits bounds what Decode accepts. The zero value means the defaults, and
// so does a field that is zero or negative.
type Limits struct {
	// MaxBytes is the greatest length of a frame in bytes. Default 1 MiB, what
	// a Python dialler accepts; at most 512 MiB.
	MaxBytes int
	// MaxDepth is how deep objects and arrays may nest, the envelope itself
	// being 1 and content.data 3. Default 64, at most 10000.
	MaxDepth int
	// MaxString is the greatest length, in bytes of UTF-8, of content.type and
	// of each string in meta. Default 256.
	MaxString int
}

const (
	defaultMaxBytes  = 1 << 20
	defaultMaxDepth  = 64
	defaultMaxString = 256

	// Offsets into the frame, or into its strings twice over, are kept in 31 bits.
	topMaxBytes = 1 << 29
	// The scanner is recursive: this keeps its stack below a few MiB.
	topMaxDepth = 10000
)

func (l Limits) withDefaults() Limits {
	l.MaxBytes = bound(l.MaxBytes, defaultMaxBytes, topMaxBytes)
	l.MaxDepth = bound(l.MaxDepth, defaultMaxDepth, topMaxDepth)
	l.MaxString = bound(l.MaxString, defaultMaxString, topMaxBytes)
	return l
}

func bound(value, def, top int) int {
	if value <= 0 {
		return def
	}
	return min(value, top)
}

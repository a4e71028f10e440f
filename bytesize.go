package perdure

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag's number of bytes: 4096, 64KiB, 512MiB, 1GiB.
type byteSize int64

// UnmarshalText reads a number of bytes, with a unit or none. Its error says what it wants.
func (b *byteSize) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n, ok := strings.CutSuffix(number, suffix); ok {
			number, unit = n, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("want a number of bytes, such as 4096, 64KiB, 512MiB or 1GiB, got %q", text)
	}
	*b = byteSize(n * unit)
	return nil
}

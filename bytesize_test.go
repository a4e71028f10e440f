package perdure

import "testing"

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "4096": 4096, "64KiB": 64 << 10, "512MiB": 512 << 20, "1GiB": 1 << 30, "2TiB": 2 << 40} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err != nil || int64(b) != want {
			t.Errorf("%s is %d, %v, want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "1GB", "1 GiB", "-1", "KiB", "1.5GiB", "9000000000TiB", "1KiBKiB"} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %d", text, b)
		}
	}
}

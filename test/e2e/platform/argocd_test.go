package platform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestApplication holds the Application of docs/how-to.md to the one that is tried here.
func TestApplication(t *testing.T) {
	document, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "how-to.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(application("eu-1", "https://git.example.com/state.git"), "{duration: 2s, factor: 2, maxDuration: 20s}", "{duration: 5s, factor: 2, maxDuration: 1m}", 1)
	if !strings.Contains(string(document), "```yaml\n"+want+"```\n") {
		t.Errorf("docs/how-to.md does not have\n%s", want)
	}
}

package badgerstore

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// TestKillsInARow ends one process after the other, none of which had the time
// to close the store. Each leaves a table behind, so that opening begins with
// compaction while the tables are still being counted.
func TestKillsInARow(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("GATEHOUSE_KILLS"); dir != "" {
		putAndWait(t, dir)
	}
	dir := t.TempDir()
	const rounds = 25
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillsInARow$")
		cmd.Env = append(os.Environ(), "GATEHOUSE_KILLS="+dir, fmt.Sprint("GATEHOUSE_ROUND=", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if line != "done\n" {
			t.Fatalf("after %d kills the store does not open: %s", round, line)
		}
	}
	s := openTest(t, dir, Options{})
	for round := range rounds {
		if get(t, s, fmt.Sprint("round/", round)) == "" {
			t.Errorf("what round %d wrote is gone", round)
		}
	}
}

// putAndWait writes one record and waits to be killed.
func putAndWait(t *testing.T, dir string) {
	s, err := Open(dir, Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	put(t, s, "round/"+os.Getenv("GATEHOUSE_ROUND"), `1`)
	fmt.Println("done")
	select {}
}

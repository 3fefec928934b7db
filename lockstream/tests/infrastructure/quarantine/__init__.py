"""Tests of the quarantine's file: crashes, damage, failing disks and compaction, and of its bounds in memory."""

"""What an extraction leaves on disk: files that appear whole, plan, shards, commit records, and the proof of all."""

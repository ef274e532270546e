"""Has the world moved? Statistics of what was judged and of what is asked, and how far apart they are."""

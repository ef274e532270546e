"""Looking at a request log: has what is asked moved away from what was judged, or from what was asked before?"""

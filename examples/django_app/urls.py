"""The two addresses of the example."""

from counts import views
from django.urls import path

urlpatterns = [
    path("texts/", views.submit),
    path("texts/<int:pk>/", views.answer, name="answer"),
]
